"""Asking a controller: what every group of requests is made with."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from schemas.errors import Unreachable, Untrusted
from schemas.names import BlobRef
from schemas.views import Page
from tidemill.exchange import Exchange, Query

View = TypeVar("View", bound=BaseModel)


class Asking:
    """A connection to one controller, without any request of its own."""

    def __init__(self, url: str = "http://127.0.0.1:8420", token: str | None = None) -> None:
        self._exchange = Exchange(url, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._exchange.__exit__()

    def _one(self, path: str, view: type[View]) -> View:
        return read_as(view, self._exchange.get(path))

    def _all(self, path: str, view: type[View], query: Query | None = None) -> Iterator[View]:
        cursor: str | None = None
        while True:
            page = read_as(Page[view], self._exchange.get(path, {**(query or {}), "cursor": cursor}))  # type: ignore[valid-type]
            yield from page.items
            if page.next is None:
                return
            cursor = page.next

    def _save(self, source: str, ref: BlobRef, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(to.name + ".part")
        try:
            digest = hashlib.sha256()
            with self._exchange.download(source) as pieces, part.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
            if f"sha256:{digest.hexdigest()}" != ref.digest:
                raise Untrusted(f"{source} came damaged: its digest is not {ref.digest}")
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)


def path_of(*parts: str) -> str:
    """The path of something, whatever characters its names have."""
    return "/".join(quote(part, safe="") for part in parts)


def read_as(view: type[View], answer: httpx.Response) -> View:
    """The answer's document. Raises Unreachable when it is none of a controller's."""
    try:
        return view.model_validate_json(answer.content)
    except ValidationError as error:
        raise Unreachable(f"{answer.request.url} answered, but not as a controller does: {error}") from error
