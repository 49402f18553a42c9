"""Finds the message that ends the whole process, so that it can be put aside instead of being tried for ever."""

import os
from hashlib import blake2b

from pipeline_runtime.broker import Message
from schemas.errors import BadPayload

MARK_BYTES = 16


class CrashGuard:
    """Leaves a mark of the message in hand where it outlives the process, and refuses those known to be deadly.

    With a mark, one message is in hand at a time, so whatever is marked after a crash was the one.
    """

    def __init__(self, mark_fd: int | None = None, deadly: frozenset[str] = frozenset()) -> None:
        self._fd = mark_fd
        self._deadly = deadly
        self.watches = mark_fd is not None or bool(deadly)  # else nobody need tell it anything

    def enter(self, message: Message) -> None:
        """A message is in hand now.

        Raises:
            BadPayload: it ended the process before.
        """
        mark = _mark(message)
        if mark.hex() in self._deadly:
            raise BadPayload("this message ended the worker process each time it was tried")
        if self._fd is not None:
            os.pwrite(self._fd, mark, 0)

    def relax(self) -> None:
        """Several messages may be in hand from now on, so none is marked."""
        self.leave()
        self._fd = None
        self.watches = bool(self._deadly)

    def leave(self) -> None:
        """It is done with."""
        if self._fd is not None:
            os.pwrite(self._fd, bytes(MARK_BYTES), 0)


def marked(mark_fd: int) -> str:
    """The mark of the message that was in hand; empty if none was."""
    mark = os.pread(mark_fd, MARK_BYTES, 0)
    return mark.hex() if any(mark) else ""


def _mark(message: Message) -> bytes:
    return blake2b(message.topic.encode() + b"\0" + message.payload, digest_size=MARK_BYTES).digest()
