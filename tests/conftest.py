"""Fixtures that every test may use: private brokers and database servers on free ports."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from schemas.broker import BrokerAddress
from tests.postgres import PostgresServer

# No test depends on a speed: a busy machine draws values slowly, which says nothing about what is tested.
settings.register_profile("any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_speed")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PrivateBroker:
    """A broker that a test may kill and start again on the same port."""

    def __init__(self, *command: str, port: int) -> None:
        self.port = port
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> BrokerAddress:
        """What clients connect to."""
        return BrokerAddress(url=f"mqtt://127.0.0.1:{self.port}")

    def start(self) -> None:
        """Start it and return once it takes connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1000):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except ConnectionRefusedError:
                if self._process.poll() is not None:
                    raise RuntimeError(f"{self._command[0]} ended with {self._process.returncode}") from None
                select_wait(0.01)
        raise TimeoutError(f"{self._command[0]} took no connection in 10 s")

    def kill(self) -> None:
        """``kill -9``: nothing is saved."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an administrator does: what it is set to save is saved."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


class Mosquitto(PrivateBroker):
    """The broker for real use."""

    def __init__(self, folder: Path, more_settings: str = "") -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not Path(program).exists():
            pytest.skip("no mosquitto on this machine; scripts/prepare-machine installs it")
        settings = folder / "mosquitto.conf"
        super().__init__(program, "-c", str(settings), port=free_port())
        # A broker started by root becomes another user unless it is told not to, and then cannot write here.
        settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence false\n"
            f"max_queued_messages 100000\nset_tcp_nodelay true\nlog_type error\n{more_settings}\n"
        )


class Nats(PrivateBroker):
    """The broker for demonstrations, which any machine can install: sends anew what is not acknowledged in 2 s."""

    def __init__(self, folder: Path, user_settings: str = "") -> None:
        settings = folder / "nats.conf"
        super().__init__(str(Path(sys.executable).parent / "nats-server"), "--config", str(settings), port=free_port())
        settings.write_text(
            f'server_name: test\nhost: "127.0.0.1"\nport: -1\njetstream {{ store_dir: "{folder}/jetstream" }}\n'
            f'mqtt {{ host: "127.0.0.1", port: {self.port}, ack_wait: "2s", max_ack_pending: 1000 }}\n'
            f'authorization {{ users: [ {{ user: "edge", password: "right", {user_settings} }} ] }}\n'
            'no_auth_user: "edge"\n'
        )


def select_wait(seconds: float) -> None:
    """Give another process a moment while polling for it under a bound."""
    import select  # noqa: PLC0415 - only this poll needs it

    select.select([], [], [], seconds)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running private broker."""
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def broker(mosquitto: Mosquitto) -> BrokerAddress:
    """The address of a running private broker."""
    return mosquitto.address


@pytest.fixture(params=[Mosquitto, Nats])
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PrivateBroker]:
    """Each of the brokers that Tidemill starts by itself, in turn."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker: PrivateBroker = request.param(folder)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running private PostgreSQL server."""
    # Not below pytest's own folder, which other users, such as the server's, cannot enter.
    with tempfile.TemporaryDirectory(prefix="tidemill-postgres-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder) / "server", free_port())
        server.make()
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new empty PostgreSQL database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def any_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new empty database, on each of the systems that Tidemill keeps data in."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a folder' / 'data.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
