"""Secrets on their edge: opened with its key alone, laid out privately, and gone with their task."""

import json
import logging
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from edge_agent.execution.executor import TaskKey, TaskRequest
from edge_agent.execution.secret_folder import SecretFolders, memory_folder, private_folder
from edge_agent.fetching import Fetcher
from edge_agent.secrets import TaskSecrets, sealing_key
from schemas.broker import BrokerAddress
from schemas.errors import BadInput, TaskFailed
from schemas.jobs import Limits, SecretUse
from schemas.names import BlobRef
from schemas.secrets import SecretValues, sealed_for
from schemas.tasks import TaskSpec
from transport.blob_store import BlobDirectory
from transport.mqtt import connect
from transport.sealing import SealingKey, seal
from transport.transfer import BlobReceiver

CANARY = "c4nary\nof 'two' \"lines\" $HOME ü"
KEY = TaskKey(UUID(int=7), 2)
USES = (SecretUse(secret="password"), SecretUse(secret="password", file="my key.pem", variable="key_file"))


class Edge:
    """What an edge has to open secrets with."""

    def __init__(self, blobs: BlobDirectory, receiver: BlobReceiver, folders: SecretFolders) -> None:
        self.blobs, self.folders, self.key = blobs, folders, SealingKey.create()
        self._fetcher = Fetcher("press-1", blobs, receiver)

    def sealed(self, *, key: SealingKey | None = None, edge: str = "press-1", attempt: int = 2) -> BlobRef:
        """The canary, sealed as the controller does it."""
        plain = SecretValues(values={"password": CANARY}).model_dump_json().encode()
        about = sealed_for(edge, KEY.run_id, attempt)
        return self.blobs.put_bytes(seal(plain, (key or self.key).public_key, about=about).model_dump_json().encode())

    async def lay_out(self, sealed: BlobRef | None, *, key: SealingKey | None, uses: Any = USES) -> Path | None:
        """The folder that the task's scripts would get."""
        spec = TaskSpec(run_id=KEY.run_id, job="job", scripts=(), secrets=uses)
        request = TaskRequest(key=KEY, folder=Path(), scripts=(), variables={}, paths={}, limits=Limits())
        made = await self.secrets(key).lay_out(request, spec, sealed, lambda _note: None)
        return made.secrets

    def secrets(self, key: SealingKey | None) -> TaskSecrets:
        """The agent's part that does it."""
        return TaskSecrets("press-1", key, self._fetcher, self.folders)


@pytest.fixture
async def edge(broker: BrokerAddress, tmp_path: Path) -> AsyncIterator[Edge]:
    """An edge with a key, and a private folder for secrets."""
    memory = private_folder(tmp_path, tmp_path)
    blobs = BlobDirectory(tmp_path / "blobs")
    async with connect(broker, "edge") as link:
        receiver = BlobReceiver(link, blobs, me="edge")
        yield Edge(blobs, receiver, SecretFolders(tmp_path / "tasks", memory, owner=None))


async def test_scripts_get_variables_and_files(edge: Edge) -> None:
    """Each use of a secret becomes a variable with its value, or a file and a variable for its path, both private."""
    folder = await edge.lay_out(edge.sealed(), key=edge.key)
    assert folder is not None
    order = json.loads((folder / "secrets.json").read_text())
    assert order == {"variables": {"password": CANARY}, "files": {"my key.pem": "key_file"}}
    assert (folder / "files/my key.pem").read_text() == CANARY
    modes = {path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert modes == {"files": 0o700, "files/my key.pem": 0o400, "secrets.json": 0o400}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_nothing_is_left_of_a_task(edge: Edge, tmp_path: Path) -> None:
    """Once a task is over, its secrets are gone, sealed and open; so are those that an unknown task left."""
    sealed = edge.sealed()
    await edge.lay_out(sealed, key=edge.key)
    secrets = edge.secrets(edge.key)
    await secrets.remove_strangers({KEY})
    assert edge.folders.attempts() == [KEY]
    await secrets.remove(KEY, sealed)
    assert (edge.folders.attempts(), edge.blobs.has(sealed.digest)) == ([], False)
    await secrets.remove(KEY, sealed)
    await edge.lay_out(edge.sealed(), key=edge.key)
    await secrets.remove_strangers(set())
    assert list((tmp_path / f"tidemill-{os.getuid()}").iterdir()) == []


async def test_a_task_without_secrets_has_no_folder(edge: Edge) -> None:
    """Nothing is laid out for a job that names no secret."""
    assert await edge.lay_out(None, key=None, uses=()) is None
    assert edge.folders.attempts() == []


async def test_what_cannot_be_opened_fails_the_task_and_says_what_to_do(edge: Edge) -> None:
    """No key, another key, another edge's or attempt's seal, no seal at all: each has its reason, without the value."""
    other = SealingKey.create()
    for sealed, key, reason in (
        (edge.sealed(), None, "no sealing_key"),
        (edge.sealed(), other, f"this edge has {other.key_id}"),
        (edge.sealed(edge="press-2"), edge.key, "sealed for something else"),
        (edge.sealed(attempt=1), edge.key, "sealed for something else"),
        (None, edge.key, "sent no secrets"),
        (edge.blobs.put_bytes(b"{}"), edge.key, "sealed as this agent does not know it"),
    ):
        with pytest.raises(TaskFailed, match=reason) as caught:
            await edge.lay_out(sealed, key=key)
        assert CANARY not in str(caught.value)
        assert edge.folders.attempts() == []


async def test_a_value_that_is_no_variable_is_told_by_its_name(edge: Edge) -> None:
    """A zero byte cannot stand in a variable: the task fails with the secret's name; in a file it is taken."""
    values = {"password": "a\0b"}
    with pytest.raises(TaskFailed, match="secret password holds a zero byte"):
        edge.folders.create(KEY, USES, values)
    edge.folders.remove(KEY)
    folder = edge.folders.create(KEY, USES[1:], values)
    assert (folder / "files/my key.pem").read_bytes() == b"a\0b"


def test_without_shared_memory_secrets_lie_in_the_tasks_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there is no memory file system, the task's own folder has them, and the agent's log says so."""
    folders = SecretFolders(tmp_path, None, owner=None)
    with caplog.at_level(logging.WARNING):
        folder = folders.create(KEY, USES, {"password": CANARY})
    assert folder == tmp_path / str(KEY) / "secrets"
    assert "secrets lie on the disk" in caplog.text
    assert CANARY not in caplog.text
    folders.remove(KEY)
    assert not folder.exists()


def test_a_place_that_somebody_else_can_look_into_is_not_used(tmp_path: Path) -> None:
    """In a folder that everybody may write to, neither a link nor a folder open to others is taken for ours."""
    place = tmp_path / f"tidemill-{os.getuid()}"
    (tmp_path / "trap").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "trap")
    assert private_folder(tmp_path, tmp_path) is None
    place.unlink()
    place.mkdir()
    place.chmod(0o755)
    assert private_folder(tmp_path, tmp_path) is None
    place.chmod(0o700)
    first, second = private_folder(tmp_path, tmp_path / "a"), private_folder(tmp_path, tmp_path / "b")
    assert None not in (first, second)
    assert first != second  # two agents of one user keep apart


def test_shared_memory_is_used_where_there_is_some(tmp_path: Path) -> None:
    """On Linux with /dev/shm, secrets never touch the disk."""
    folder = memory_folder(tmp_path)
    assert folder is not None
    assert folder.is_relative_to("/dev/shm")  # noqa: S108 - the claim


def test_a_wrong_key_in_the_configuration_is_not_shown() -> None:
    """The agent refuses to start with a broken key, and says how to have a new one, without repeating it."""
    with pytest.raises(BadInput, match="tidemill edge rekey press-1") as caught:
        sealing_key(SecretStr("x25519:nearlyright"), "press-1")
    assert "nearlyright" not in str(caught.value)
    assert sealing_key(None, "press-1") is None
