"""Following a task's log file, line by line, until the task has ended."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from edge_agent.execution.untrusted_files import Refused, open_plain
from edge_agent.polling import LOOK_S

LINE_LIMIT = 8192  # characters; the runner cuts before, so only a line that a script forged is longer
_PIECE_BYTES = 65536
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\t")})  # a terminal would act on them


class Lines:
    """Cuts a stream of bytes into lines of text; holds at most one line."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes complete."""
        *complete, rest = self._decoder.decode(data).split("\n")
        for part in complete:
            yield self._cut(self._line + part)
            self._line = ""
        self._line = (self._line + rest)[: LINE_LIMIT + 1]

    def end(self) -> Iterator[str]:
        """The last line, if nothing ended it."""
        last = self._line + self._decoder.decode(b"", final=True)
        if last:
            yield self._cut(last)

    @staticmethod
    def _cut(line: str) -> str:
        line = line.translate(_CONTROLS)
        return line if len(line) <= LINE_LIMIT else f"{line[:LINE_LIMIT]} … cut"


async def follow(path: Path, skip: int, ended: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
    """The lines of a growing file after the first ``skip``, until ``ended`` and all is read.

    A file that is no plain one, or goes away, has no lines.
    """
    over = await ended()  # asked before looking, each time: all that was written is there by then
    while (file := await asyncio.to_thread(_open, path)) is None:
        if over:
            return
        await asyncio.sleep(LOOK_S)
        over = await ended()
    lines, number = Lines(), 0
    with file:
        while True:
            over = await ended()
            while data := await asyncio.to_thread(file.read, _PIECE_BYTES):
                for line in lines.feed(data):
                    number += 1
                    if number > skip:
                        yield line
            if over:
                break
            await asyncio.sleep(LOOK_S)
    for line in lines.end():
        if number >= skip:
            yield line


def _open(path: Path) -> BinaryIO | None:
    try:
        return open_plain(path)
    except (FileNotFoundError, Refused):
        return None
