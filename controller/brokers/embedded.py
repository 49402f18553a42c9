"""A broker of the controller's own, for a machine that has none.

It listens on loopback, asks for a password, and ends with the controller; its port and passwords are kept, so that
the configurations of enrolled edges stay good.
"""

import json
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from controller.brokers.accounts import CONTROLLER_USER, DEVICE_USER, BrokerAccounts
from controller.brokers.broker_process import BrokerProcess, running
from controller.brokers.broker_programs import find_program, mosquitto_command, nats_command
from controller.private_files import write_private
from schemas.broker import BrokerAddress
from schemas.views import BrokerView


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """A running broker and who may use it."""

    address: BrokerAddress  # with the controller's credentials
    for_devices: BrokerView
    accounts: BrokerAccounts | None  # None: every client shares the controller's credentials


@asynccontextmanager
async def embedded_broker(
    folder: Path, wanted: Literal["auto", "mosquitto", "nats"], port: int
) -> AsyncIterator[EmbeddedBroker]:
    """Start a broker and end it when the block ends.

    Args:
        folder: for its files.
        wanted: which one; ``auto`` takes Mosquitto if it is installed, else NATS.
        port: 0 takes any free one on the first start, and the same ever after.

    Raises:
        Unreachable: no broker program is installed, or it does not start; the message says what to do.
    """
    program = find_program(wanted)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = _Kept.load(folder, port)
    accounts = _accounts(folder, kept) if program.kind == "mosquitto" else None
    if accounts is not None:
        command = mosquitto_command(program.path, folder, kept.port)
    else:
        command = nats_command(program.path, folder, kept.port, kept.password)
    process = BrokerProcess(command, kept.port, folder / "broker.log")
    async with running(process):
        if accounts is not None:
            accounts.on_change = process.reload
        yield kept.broker(accounts)


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
            before = cls(**json.loads(path.read_text()))
        else:
            before = cls(0, secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        kept = replace(before, port=port or before.port or _free_port())
        if kept != before:
            write_private(path, json.dumps(asdict(kept)))
        return kept

    def broker(self, accounts: BrokerAccounts | None) -> EmbeddedBroker:
        url = f"mqtt://127.0.0.1:{self.port}"
        ours = BrokerAddress(url=url, username=CONTROLLER_USER, password=SecretStr(self.password))
        if accounts is None:
            shared = BrokerView(kind="nats", url=url, username=CONTROLLER_USER, password=self.password)
            return EmbeddedBroker(ours, shared, None)
        device = BrokerView(kind="mosquitto", url=url, username=DEVICE_USER, password=self.device_password)
        return EmbeddedBroker(ours, device, accounts)


def _accounts(folder: Path, kept: _Kept) -> BrokerAccounts:
    accounts = BrokerAccounts(folder)
    accounts.set_password(CONTROLLER_USER, kept.password)
    accounts.set_password(DEVICE_USER, kept.device_password)
    return accounts


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
