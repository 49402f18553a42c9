"""The databases beside the collections that queries may read, named in the controller's configuration."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from controller.stores.collection_reader import Reader
from controller.stores.other_reader import open_other
from controller.stores.sqlite_reader import open_file
from schemas.errors import BadInput

_EXAMPLE = "write postgresql://reader:password@host/database or sqlite:////path/to/file.db"

_DIALECTS = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql"}
"""How the parser of queries calls an SQL that SQLAlchemy calls otherwise."""


class Sources:
    """Opens them to read. None of their errors tells a password."""

    def __init__(self, sources: Mapping[str, SecretStr]) -> None:
        """Take the URLs by name; nothing is connected yet. Raises BadInput for one that cannot be used."""
        self._urls = {name: _url(name, secret.get_secret_value()) for name, secret in sources.items()}

    def dialect(self, name: str) -> str:
        """Which SQL a source is asked in, as the parser of queries calls it. Raises BadInput for an unknown name."""
        backend = self._known(name).get_backend_name()
        return _DIALECTS.get(backend, backend)

    def reader(self, name: str, *, timeout_s: float) -> AbstractContextManager[Reader]:
        """One state of a source, as far as it can give one; each query may take ``timeout_s``.

        Raises:
            BadInput: there is no source of that name, or it refuses the account.
            Unreachable: it does not answer.
        """
        url = self._known(name)
        match url.get_backend_name():
            case "sqlite":
                return open_file(Path(str(url.database)), timeout_s=timeout_s, any_table=True)
            case "postgresql":
                from controller.stores.postgres_reader import open_source  # noqa: PLC0415 - an extra brings its driver

                return open_source(url, timeout_s=timeout_s)
        return open_other(url, timeout_s=timeout_s)

    def _known(self, name: str) -> URL:
        if name not in self._urls:
            there_are = ", ".join(sorted(self._urls)) or "none"
            raise BadInput(f"there is no source {name} in the controller's configuration; there are: {there_are}")
        return self._urls[name]


def _url(name: str, text: str) -> URL:
    try:
        url = make_url(text)
        if url.get_backend_name() == "sqlite":
            if not url.database or not Path(url.database).is_absolute():
                raise BadInput(f"sources.{name} is no path from the root to a SQLite file; {_EXAMPLE}")
            return url
        if url.drivername in {"postgresql", "postgres"}:
            url = url.set(drivername="postgresql+psycopg")
        create_engine(url).dispose()  # it connects to nothing; but it wants the driver
    except (ArgumentError, NoSuchModuleError) as error:  # their messages may hold a password
        raise BadInput(f"sources.{name} is no database URL; {_EXAMPLE}") from error
    except ModuleNotFoundError as error:
        raise BadInput(f"sources.{name} needs the Python package {error.name}, which is not installed") from error
    return url
