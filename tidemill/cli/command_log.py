"""What a person who runs a command sees of the log: warnings, and what libraries write, on stderr."""

import logging

from tidemill.cli.output import printable
from transport.log_format import FieldFormatter


def log_to_person() -> None:
    """Have it said until a daemon, if that is what the command starts, sets up its own log."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter())
    handler.addFilter(_is_for_people)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _PrintableFormatter(FieldFormatter):
    """A line with its fields, which come from outside and must not steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _is_for_people(record: logging.LogRecord) -> bool:
    """What goes as it should, a command says in words of its own; a library has no other way to say it."""
    return record.levelno >= logging.WARNING or hasattr(record, "library")
