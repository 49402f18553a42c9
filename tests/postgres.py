"""A private PostgreSQL server on a free port of loopback, and a database of its own for each test."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

PROGRAMS = Path("/usr/lib/postgresql")
"""Where Debian keeps the server's programs, in a folder for each version."""

# The server is thrown away with its folder: nothing has to survive a power failure.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_prepared_transactions": "5",
    "autovacuum": "off",
    "jit": "off",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """A server that a test may stop and start again on the same port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder, self._programs = folder, _programs()
        self._user = _user()
        self._numbers = count(1)

    def make(self) -> None:
        """Make the cluster."""
        self._folder.mkdir()
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "--username=tidemill", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")

    def start(self) -> None:
        """Start it and return once it takes connections."""
        options = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        options += f" -c port={self.port} -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder}/server.log", f"--options={options}")

    def stop(self) -> None:
        """End it, and with it every connection."""
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new empty database, which is dropped at the end with all that use it."""
        name = f"test_{next(self._numbers)}"
        self._as_owner(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql+psycopg://tidemill:secret@127.0.0.1:{self.port}/{name}"
        finally:
            self._as_owner(f"DROP DATABASE {name} WITH (FORCE)")

    def _as_owner(self, statement: str) -> None:
        address = f"host=127.0.0.1 port={self.port} user=tidemill dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self._folder / 'cluster'}", *arguments]
        output = self._folder / "output.txt"
        with output.open("wb") as log:  # no pipe: the server would keep it open
            done = subprocess.run(
                command,
                user=self._user and self._user.pw_uid,
                group=self._user and self._user.pw_gid,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                timeout=120,
                check=False,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {output.read_text()}")


def _programs() -> Path:
    """The newest version's programs."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("no PostgreSQL server on this machine; scripts/prepare-machine installs it")
    return found[-1].parent


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses to be root."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None
