"""How much of a request's body is read: little of a document, as much as the settings allow of an upload."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.http.errors import BodyTooLarge

DOCUMENT_BYTES = 16 * 1024 * 1024
"""Of a body that is held in memory whole."""

_PIECE_BYTES = 1024 * 1024


@dataclass(slots=True)
class _Allowance:
    most_bytes: int = DOCUMENT_BYTES
    setting: str = ""  # that says so, if it is one's choice
    read_bytes: int = 0

    def take(self, size_bytes: int) -> None:
        self.read_bytes += size_bytes
        if self.read_bytes > self.most_bytes:
            raise BodyTooLarge(self.most_bytes, self.setting)


class BodyLimit:
    """Counts what is read of each body, whether or not the request said how long it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; reading too much of it raises BodyTooLarge where it is read."""
        allowance = _Allowance()

        async def limited() -> Message:
            message = await receive()
            allowance.take(len(message.get("body", b"")))
            return message

        if scope["type"] == "http":
            scope.setdefault("state", {})["allowance"] = allowance
        await self._app(scope, limited if scope["type"] == "http" else receive, send)


async def upload(request: Request, most_bytes: int, *, setting: str = "") -> AsyncIterator[bytes]:
    """The body of an upload in pieces of about a MiB. Raises BodyTooLarge, if need be before reading any."""
    allowance = request.state.allowance
    allowance.most_bytes, allowance.setting = most_bytes, setting
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise BodyTooLarge(most_bytes, setting)
    piece = bytearray()
    async for data in request.stream():
        piece += data
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def upload_of_a_file(request: Request, upload_mb: int) -> AsyncIterator[bytes]:
    """The same, as large as the setting of that name allows."""
    return upload(request, upload_mb * 1024 * 1024, setting="upload_mb")
