"""Calls web services; the only place of the runtime that knows httpx."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from ssl import SSLContext

import httpx

from pipeline_runtime.outside.http_patience import Patience
from schemas.errors import BadPayload, TidemillError, Unreachable

Decode = Callable[[bytes], object]

_SHOWN = 200  # characters of an answer that says no
_ASKED_LATER = frozenset({429, 502, 503, 504})  # the service is busy, or something before it cannot reach it
_BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError, httpx.ConnectTimeout)


class AskLater(Exception):
    """A call failed in a way that another one may not."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        self.after_s = after_s  # how long the service asks to wait
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Request:
    """One call."""

    method: str
    url: str
    body: bytes | None = None

    @property
    def shown(self) -> str:
        """Without the query, in which keys are sometimes written."""
        return f"{self.method} {self.url.split('?', maxsplit=1)[0]}"


class HttpCalls:
    """One client, and so many calls at once."""

    def __init__(self, headers: Mapping[str, str], patience: Patience, *, at_once: int, max_bytes: int) -> None:
        self._headers, self._patience, self._max_bytes = headers, patience, max_bytes
        self._room = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make the client; it connects when it is asked to."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log each address, with the keys in its query
        trusted = await asyncio.to_thread(_authorities)
        limits = httpx.Limits(max_connections=self._at_once, max_keepalive_connections=self._at_once)
        self._client = httpx.AsyncClient(verify=trusted, limits=limits, timeout=None)  # noqa: S113 - see _bounded

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def answer(self, request: Request, decode: Decode) -> object:
        """What the service answers; it is called again as often as that may help.

        Raises:
            Unreachable: it was not there, was busy, or took too long.
            BadPayload: it refused the request, or its answer is too large or cannot be read.
        """
        for tried in range(self._patience.retries + 1):
            try:
                async with self._room:
                    return await self._bounded(request, decode)
            except AskLater as error:
                if tried == self._patience.retries:
                    tries = f", also at the {_ordinal(tried + 1)} time" if tried else ""
                    raise Unreachable(f"{request.shown}: {error}{tries}") from error
                await asyncio.sleep(self._patience.pause_s(tried, error.after_s))
        raise AssertionError("the last try returns or raises")

    async def _bounded(self, request: Request, decode: Decode) -> object:
        timeout_s = self._patience.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                payload = await self._call(request)
        except TimeoutError as error:
            raise Unreachable(f"{request.shown}: no answer within {timeout_s:g} s") from error
        except _BROKEN as error:
            raise AskLater(str(error) or type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BadPayload(f"{request.shown}: {error}") from error
        try:
            return decode(payload)
        except TidemillError as error:
            raise BadPayload(f"{request.shown} answered what cannot be read: {error}") from error

    async def _call(self, request: Request) -> bytes:
        if self._client is None:
            raise AssertionError("called before it was opened")
        headers = {**self._headers, "Accept-Encoding": "identity"}  # few compressed bytes may be many
        async with self._client.stream(request.method, request.url, content=request.body, headers=headers) as answer:
            if answer.is_success:
                return await self._read(request, answer)
            said = await self._beginning(answer)
            if answer.status_code in _ASKED_LATER:
                raise AskLater(said, _seconds(answer.headers.get("Retry-After", "")))
            raise BadPayload(f"{request.shown}: {said}")

    async def _read(self, request: Request, answer: httpx.Response) -> bytes:
        payload = bytearray()
        async for piece in answer.aiter_raw():
            payload += piece
            if len(payload) > self._max_bytes:
                raise BadPayload(f"{request.shown}: the answer has more than {self._max_bytes} bytes (`max_bytes`)")
        return bytes(payload)

    async def _beginning(self, answer: httpx.Response) -> str:
        """The status, and the first words of its reason."""
        said = b""
        async for piece in answer.aiter_raw():
            said += piece
            if len(said) > 4 * _SHOWN:
                break
        text = " ".join(said.decode(errors="replace").split())[:_SHOWN]
        return f"it answered {answer.status_code}{f': {text}' if text else ''}"


@cache
def _authorities() -> SSLContext:
    """Whom to trust, for all nodes of a process: hundreds of certificates are read for it."""
    return httpx.create_ssl_context()


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _seconds(written: str) -> float:
    """A Retry-After header in seconds; one that gives a date is passed over."""
    return float(written) if written.isascii() and written.isdigit() else 0.0
