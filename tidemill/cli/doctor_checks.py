"""What `tidemill doctor` looks at from this machine: the broker, Docker and the disk."""

import asyncio
import secrets
import shutil
import socket
import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from schemas.broker import BrokerAddress
from schemas.errors import BadInput, TidemillError
from tidemill.cli.doctor_check import Check, Verdict
from transport.mqtt import connect

ANSWER_S = 5.0
VERSION_S = 1.0  # a broker that tells its version does so at once
MOSQUITTO_CONFIGURATION = Path("/etc/mosquitto")
SCARCE_BYTES, TOO_FEW_BYTES = 5 * 10**9, 10**9


def check_broker(address: BrokerAddress) -> list[Check]:
    """Connect to the broker as any client would."""
    try:
        with socket.create_connection((address.host, address.port), timeout=ANSWER_S):
            pass  # tells a wrong address from a broker that does not speak with us
        version = asyncio.run(_broker_version(address))
    except TimeoutError:
        return [Check("broker", "wrong", f"{address.host}:{address.port} did not answer in {ANSWER_S:g} s")]
    except OSError as error:
        return [Check("broker", "wrong", f"{address.host}:{address.port}: {error.strerror}")]
    except TidemillError as error:
        return [Check("broker", "wrong", str(error))]
    where = f"{address.host}:{address.port} answers{' as ' + version if version else ''}"
    return [Check("broker", "ok", where), *check_persistence(address, version)]


def named_broker(url: str | None, config: Path | None) -> BrokerAddress | None:
    """The broker that a person named; its credentials may stand in the URL or in the file."""
    try:
        if url is not None:
            return BrokerAddress(url=url)
        if config is not None:
            return BrokerAddress.model_validate(tomllib.loads(config.read_text(encoding="utf-8")).get("broker", {}))
    except (OSError, ValueError) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BadInput(f"no broker can be read from {url or config}: {detail}") from error
    return None


async def _broker_version(address: BrokerAddress) -> str:
    async with asyncio.timeout(ANSWER_S), connect(address, f"tidemill-doctor-{secrets.token_hex(4)}") as link:
        with suppress(TimeoutError, TidemillError):  # many brokers keep this to themselves
            async with asyncio.timeout(VERSION_S):
                async for message in await link.subscribe("$SYS/broker/version"):
                    return message.payload[:100].decode(errors="replace")
    return ""


def check_persistence(
    address: BrokerAddress, version: str, configuration: Path = MOSQUITTO_CONFIGURATION
) -> list[Check]:
    """Whether this machine's Mosquitto would lose what it has queued when the power fails."""
    files = [configuration / "mosquitto.conf", *sorted(configuration.glob("conf.d/*.conf"))]
    if "mosquitto" not in version or address.host not in {"127.0.0.1", "localhost", "::1"}:
        return []
    try:
        lines = [line.split() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return []  # it was started with another configuration
    ports = {words[1] for words in lines if len(words) > 1 and words[0] in {"listener", "port"}} or {"1883"}
    if str(address.port) not in ports:
        return []  # it is not the one that these files are for
    settings = {words[0]: words[1] for words in lines if len(words) == 2}
    if settings.get("persistence") == "true" and settings.get("autosave_on_changes") == "true":
        return []
    advice = "devices' messages that wait for an offline edge are lost if this broker is killed; Tidemill's own are not"
    return [Check("broker persistence", "warning", f"Mosquitto's default: {advice}")]


def check_docker() -> Check:
    """Whether containers can be started from here."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except FileNotFoundError:
        return Check("docker", "warning", 'not installed; an edge here needs executor = "process"')
    except subprocess.TimeoutExpired:
        return Check("docker", "warning", f"did not answer in {ANSWER_S:g} s")
    if answer.returncode:
        return Check("docker", "warning", (answer.stderr.strip().splitlines() or ["does not answer"])[-1])
    return Check("docker", "ok", f"version {answer.stdout.strip()}")


def check_disk(folder: Path) -> Check:
    """How much room there is for data, environments and models."""
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("disk", "wrong", f"{folder}: {error.strerror}")
    verdict: Verdict = "ok" if free_bytes > SCARCE_BYTES else "warning" if free_bytes > TOO_FEW_BYTES else "wrong"
    return Check("disk", verdict, f"{free_bytes / 1e9:.1f} GB free in {folder.resolve()}")
