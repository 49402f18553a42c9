"""How the agent's log lines look: constant text, then the fields as key=value."""

import logging

# The last one is uvicorn's message once more, for terminals.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class FieldFormatter(logging.Formatter):
    """``2026-11-20 08:00:00 INFO  manifest taken generation=7``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """The line with the record's extra fields."""
        fields = (f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD)
        return " ".join((super().formatMessage(record), *fields))


def log_to_stderr(level: str) -> None:
    """Send every record of ``level`` and above to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(FieldFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
