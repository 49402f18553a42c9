"""What a library is told beside its input: the public object that ``exec(input, context)`` gets."""

from collections.abc import Mapping
from logging import Logger, LoggerAdapter
from typing import Any, NamedTuple


class Context(NamedTuple):
    """Where a call comes from. Made for each call, so a named tuple: a frozen dataclass takes three times as long."""

    pipeline: str  # its name
    node: str  # the id of the library node
    params: Mapping[str, Any]  # the node's ``params``, its own copy
    log: "LoggerAdapter[Logger]"  # writes to the log of the agent, or of the command
    state: dict[str, Any]  # the node's own, empty at first; lives until the node is replaced or its process ends
    topic: str = ""  # of the message that began the run; empty in ``open`` and ``close``
    values: Mapping[str, str] = {}  # the named levels of that topic
