"""The command line: the one place where the packages below are put together for a person."""

__version__ = "0.1.0"
