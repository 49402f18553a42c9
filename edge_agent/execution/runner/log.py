"""The task's log file: only ever appended to, and bounded by leaving out the middle."""

from __future__ import annotations

import os
from pathlib import Path

HEAD_BYTES = 8 * 1024 * 1024  # written as it comes
TAIL_BYTES = 1024 * 1024  # of what comes after that, written at the end
_FULL = (
    f"tidemill: the log is longer than {HEAD_BYTES >> 20} MiB; of what follows, the last {TAIL_BYTES >> 20} MiB come "
    "when the task ends\n"
).encode()


class Log:
    """What is written are whole lines."""

    def __init__(self, path: Path, *, echo: bool) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._echo = echo  # to this program's own output, for `docker logs`
        self._room = HEAD_BYTES
        self._tail = bytearray()
        self._beyond = 0
        os.dup2(self._fd, 2)  # should this program itself fail, the log says how

    def write(self, lines: bytes) -> None:
        """Append what a script wrote."""
        if not self._beyond:
            fits = len(lines) if len(lines) <= self._room else lines.rfind(b"\n", 0, self._room) + 1
            self._put(lines[:fits])
            self._room -= fits
            lines = lines[fits:]
            if lines:
                self._put(_FULL)
        self._beyond += len(lines)
        self._tail += lines
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]

    def note(self, text: str) -> None:
        """Append a line of this program's own."""
        self.write(f"tidemill: {text}\n".encode())

    def close(self) -> None:
        """Write the end of a log that was too long."""
        if self._beyond:
            tail = bytes(self._tail[-TAIL_BYTES:])
            if len(tail) < self._beyond:
                tail = tail[tail.find(b"\n") + 1 :]
                self._put(b"tidemill: %d bytes of the log are left out here\n" % (self._beyond - len(tail)))
            self._put(tail)
        os.close(self._fd)

    def _put(self, data: bytes) -> None:
        if self._echo:
            self._echo = _write_all(1, data)
        _write_all(self._fd, data)


def _write_all(fd: int, data: bytes) -> bool:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:  # the disk is full or nobody reads: the scripts go on without a log
        return False
    return True
