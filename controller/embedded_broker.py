"""A broker of the controller's own, for a machine that has none: Mosquitto if it is installed, else NATS.

It listens on loopback, asks for a password, and ends with the controller; its port and passwords are kept, so that
the configurations of enrolled edges stay good.
"""

import asyncio
import getpass
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr

from controller.broker_accounts import CONTROLLER_USER, DEVICE_USER, BrokerAccounts
from schemas.broker import BrokerAddress
from schemas.errors import Unreachable
from schemas.views import BrokerView

log = logging.getLogger(__name__)

START_S = 10.0


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """A running broker and who may use it."""

    address: BrokerAddress  # with the controller's credentials
    for_devices: BrokerView
    accounts: BrokerAccounts | None  # None: every client shares the controller's credentials


@asynccontextmanager
async def embedded_broker(folder: Path, port: int) -> AsyncIterator[EmbeddedBroker]:
    """Start a broker and end it when the block ends.

    Raises:
        Unreachable: no broker program is installed, or it does not start; the message says what to do.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = _Kept.load(folder, port)
    mosquitto, nats = _program("mosquitto"), _program("nats-server")
    if mosquitto is not None:
        kind, command, accounts = "mosquitto", *_mosquitto(mosquitto, folder, kept)
    elif nats is not None:
        kind, command, accounts = "nats", _nats(nats, folder, kept), None
    else:
        raise Unreachable(
            "there is no MQTT broker: set [broker] url in the controller's configuration, install mosquitto "
            "(apt-get install mosquitto), or install tidemill[demo], which brings one"
        )
    with (folder / "broker.log").open("ab") as output:
        process = await asyncio.create_subprocess_exec(*_dying_with_us(command), stdout=output, stderr=output)
    try:
        if accounts is not None:
            accounts.on_change = lambda: process.send_signal(signal.SIGHUP)
        await _until_listening(process, kept.port, folder)
        log.info("embedded broker started", extra={"kind": kind, "port": kept.port})
        yield kept.broker(accounts)
    finally:
        await _end(process)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What must stay the same over restarts."""

    port: int
    password: str
    device_password: str

    @classmethod
    def load(cls, folder: Path, port: int) -> "_Kept":
        path = folder / "broker.json"
        if path.exists():
            return cls(**json.loads(path.read_text()))
        kept = cls(port or _free_port(), secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(kept)))
        return kept

    def broker(self, accounts: BrokerAccounts | None) -> EmbeddedBroker:
        url = f"mqtt://127.0.0.1:{self.port}"
        ours = BrokerAddress(url=url, username=CONTROLLER_USER, password=SecretStr(self.password))
        if accounts is None:
            shared = BrokerView(kind="nats", url=url, username=CONTROLLER_USER, password=self.password)
            return EmbeddedBroker(ours, shared, None)
        device = BrokerView(kind="mosquitto", url=url, username=DEVICE_USER, password=self.device_password)
        return EmbeddedBroker(ours, device, accounts)


def _mosquitto(program: str, folder: Path, kept: _Kept) -> tuple[list[str], BrokerAccounts]:
    accounts = BrokerAccounts(folder)
    accounts.set_password(CONTROLLER_USER, kept.password)
    accounts.set_password(DEVICE_USER, kept.device_password)
    config = folder / "mosquitto.conf"
    config.write_text(
        f"""listener {kept.port} 127.0.0.1
allow_anonymous false
password_file {accounts.password_file}
acl_file {accounts.acl_file}
persistence true
persistence_location {folder}/
autosave_interval 60
max_queued_messages 100000
set_tcp_nodelay true
log_type error
log_type warning
{f"user {getpass.getuser()}" if os.getuid() == 0 else ""}
"""
    )
    return [program, "-c", str(config)], accounts


def _nats(program: str, folder: Path, kept: _Kept) -> list[str]:
    config = folder / "nats.conf"
    config.touch(mode=0o600)
    config.write_text(
        f"""server_name: tidemill
host: "127.0.0.1"
port: -1
jetstream {{ store_dir: {json.dumps(str(folder / "jetstream"))} }}
mqtt {{ host: "127.0.0.1", port: {kept.port}, ack_wait: "2s", max_ack_pending: 1000 }}
authorization {{ user: {json.dumps(CONTROLLER_USER)}, password: {json.dumps(kept.password)} }}
"""
    )
    return [program, "--config", str(config)]


def _program(name: str) -> str | None:
    """A program on the path, where Debian keeps daemons, or in the virtual environment that we run in."""
    places = os.pathsep.join(
        [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", str(Path(sys.executable).parent)]
    )
    return shutil.which(name, path=places)


def _dying_with_us(command: list[str]) -> list[str]:
    """A controller that is killed must not leave a broker behind that keeps the port."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else command


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _until_listening(process: Process, port: int, folder: Path) -> None:
    try:
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                await writer.wait_closed()
                return
    except TimeoutError:
        pass
    tail = (folder / "broker.log").read_text(errors="replace").strip().splitlines()[-3:]
    raise Unreachable(
        f"the embedded broker does not take connections on port {port}: {' / '.join(tail) or 'no output'}"
    )


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(3):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
