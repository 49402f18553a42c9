"""Keeping a task's whole log as a blob, cut in the middle when it is too long."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from schemas.names import BlobRef
from transport.blob_store import BlobDirectory

HEAD_BYTES = 5_000_000
TAIL_BYTES = 5_000_000
TAIL_LINES = 50  # told with the end of the task


@dataclass(frozen=True, slots=True)
class ArchivedLog:
    """A finished task's log."""

    blob: BlobRef
    tail: tuple[str, ...]


class _Tail:
    """The last lines, as many as fit."""

    def __init__(self) -> None:
        self.left_out = 0
        self._lines: deque[bytes] = deque()
        self._size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, line: bytes) -> None:
        self._lines.append(line)
        self._size_bytes += len(line)
        while self._size_bytes > TAIL_BYTES:
            self._size_bytes -= len(self._lines.popleft())
            self.left_out += 1

    def text(self) -> bytes:
        gap = f"… {self.left_out} lines left out …\n".encode() if self.left_out else b""
        return gap + b"".join(self._lines)


async def archive(lines: AsyncIterator[str], blobs: BlobDirectory) -> ArchivedLog:
    """Read a log to its end and keep it; memory stays bounded by the tail's size."""
    last: deque[str] = deque(maxlen=TAIL_LINES)
    tail = _Tail()
    with blobs.writer() as writer:
        async for line in lines:
            last.append(line)
            text = f"{line}\n".encode(errors="replace")
            if writer.size_bytes + len(text) <= HEAD_BYTES and not tail:
                writer.write(text)
            else:
                tail.add(text)
        writer.write(tail.text())
        return ArchivedLog(await asyncio.to_thread(writer.commit), tuple(last))
