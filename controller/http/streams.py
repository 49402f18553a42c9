"""An answer that is made while it is sent, and not any further when its reader has gone."""

from collections.abc import Generator, Mapping
from contextlib import closing

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Stream(StreamingResponse):
    """Pieces that a generator makes, which is closed at the end: left to the garbage, it would keep files open."""

    def __init__(self, pieces: Generator[bytes], *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with closing(self._pieces):
            await super().__call__(scope, receive, send)
