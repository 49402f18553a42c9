"""Rows gathered by time or number, kept through the end of a process."""
