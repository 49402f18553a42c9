"""The databases beside the store of collections that queries may read, by the names that the configuration gives."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from controller.stores.collection_reader import Reader
from controller.stores.sqlite_reader import open_file
from schemas.errors import BadInput


class Sources:
    """Databases to be read from. Every method may raise BadInput: there is no source of that name."""

    def __init__(self, urls: Mapping[str, SecretStr]) -> None:
        self._urls = {name: make_url(url.get_secret_value()) for name, url in urls.items()}

    def dialect(self, name: str) -> str:
        """Which SQL its queries are written in, by the name that sqlglot has for it."""
        return self._url(name).get_backend_name()

    def reader(self, name: str, *, timeout_s: float) -> AbstractContextManager[Reader]:
        """One state of it; each query may take ``timeout_s``. Raises Unreachable when it does not answer."""
        url = self._url(name)
        if url.get_backend_name() != "sqlite" or not url.database:
            raise BadInput(f"source {name}: {url.render_as_string(hide_password=True)} cannot be read; use SQLite")
        return open_file(Path(url.database).absolute(), timeout_s=timeout_s, any_table=True)

    def close(self) -> None:
        """Close every connection."""

    def _url(self, name: str) -> URL:
        if name not in self._urls:
            there_are = ", ".join(sorted(self._urls)) or "none"
            raise BadInput(f"there is no source {name}; [sources] of the controller's configuration names: {there_are}")
        return self._urls[name]
