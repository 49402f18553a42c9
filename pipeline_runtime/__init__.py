"""Compiles a pipeline and feeds it messages; knows no controller and no edge."""
