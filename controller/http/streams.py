"""Answers of many bytes: files, and what is made while it is sent."""

from collections.abc import Generator, Mapping
from contextlib import closing

from fastapi.responses import FileResponse, StreamingResponse
from starlette.types import Receive, Scope, Send


class File(FileResponse):
    """A file, read in pieces that are worth the trouble: each costs a change of threads."""

    chunk_size = 1024 * 1024


class Stream(StreamingResponse):
    """Pieces that a generator makes, which is closed at the end: left to the garbage, it would keep files open."""

    def __init__(self, pieces: Generator[bytes], *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with closing(self._pieces):
            await super().__call__(scope, receive, send)
