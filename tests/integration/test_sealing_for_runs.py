"""What a run is sent of its job's secrets: their present values, for its attempt alone, or a reason to wait."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from controller.runs.steps import Run
from controller.secrets import Secrets
from controller.stores.database import Database, open_database
from controller.stores.edges import add_edge, get_edge
from schemas.errors import NotFound
from schemas.jobs import JobSpec
from schemas.names import BlobRef
from schemas.runs import RunState
from schemas.secrets import MAX_SEALED_BYTES, SealedSecrets, SecretValues, sealed_for
from transport.blob_store import BlobDirectory
from transport.sealing import SealingKey, StorageKey

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
RUN = Run(
    id=UUID(int=7),
    job=JobSpec.model_validate(
        {
            "name": "retrain",
            "model": "iris",
            "edge": "press-1",
            "scripts": ["train.py"],
            "secrets": ["password", {"secret": "password", "file": "p.txt"}, "token"],
        }
    ),
    state=RunState.QUEUED,
    edge="press-1",
    scheduled_at=NOW,
    created_at=NOW,
)


class Desk:
    """A controller's database and keys, with one edge whose private key we hold."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder, self.database, self.key = folder, database, SealingKey.create()
        self.blobs = BlobDirectory(folder / "blobs")
        with database.transaction() as session:
            add_edge(session, name="press-1", labels={}, sealing_key=self.key.public_key, now=NOW)

    def secrets(self, key_file: str = "secrets_key") -> Secrets:
        """The controller's part that seals."""
        key = StorageKey.load_or_create(self.folder / key_file)
        return Secrets(self.database, key, self.blobs, clock=lambda: NOW)

    def seal(self, run: Run = RUN, *, attempt: int = 1, secrets: Secrets | None = None) -> BlobRef | None:
        """Seal what the run is to get."""
        with self.database.transaction() as session:
            return (secrets or self.secrets()).seal(session, run=run, edge="press-1", attempt=attempt)

    def opened(self, ref: BlobRef | None, *, attempt: int = 1) -> dict[str, str]:
        """What the edge reads."""
        assert ref is not None
        sealed = SealedSecrets.model_validate_json(self.blobs.read_bytes(ref.digest, MAX_SEALED_BYTES))
        plain = self.key.open(sealed, about=sealed_for("press-1", RUN.id, attempt))
        return SecretValues.model_validate_json(plain).values

    def set(self, **values: str) -> None:
        """Set secrets."""
        for name, value in values.items():
            asyncio.run(self.secrets().put(name, value.encode()))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A controller that knows no secret yet."""
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    yield Desk(tmp_path, database)
    database.close()


def test_each_attempt_gets_the_present_values_of_what_its_job_names(desk: Desk) -> None:
    """A secret changed between two attempts is new in the second; a secret that the job does not name is not sent."""
    desk.set(password="first", token="t", other="not asked for")
    assert desk.opened(desk.seal()) == {"password": "first", "token": "t"}
    desk.set(password="second")
    assert desk.opened(desk.seal(attempt=2), attempt=2) == {"password": "second", "token": "t"}


def test_a_seal_tells_little_of_how_long_a_value_is(desk: Desk) -> None:
    """Seals of short values have one size."""
    sizes = set()
    for password in ("x", "twelve chars", "a somewhat longer password"):
        desk.set(password=password, token="t")
        ref = desk.seal()
        assert ref is not None
        sizes.add(ref.size_bytes)
    assert len(sizes) == 1


def test_what_is_missing_is_the_reason_to_wait(desk: Desk) -> None:
    """An unset secret, an edge without a key and a lost storage key each are told with the command that mends it."""
    desk.set(token="t")
    with pytest.raises(NotFound, match="secret password is not set: `tidemill secret set password`"):
        desk.seal()
    desk.set(password="c4nary")
    with pytest.raises(NotFound, match=r"secret password cannot be read .*: `tidemill secret set password`") as caught:
        desk.seal(secrets=desk.secrets("another_key"))
    assert "c4nary" not in str(caught.value)
    with desk.database.transaction() as session:
        get_edge(session, name="press-1").sealing_key = ""
    with pytest.raises(NotFound, match="`tidemill edge rekey press-1`"):
        desk.seal()


def test_a_job_without_secrets_needs_no_key(desk: Desk) -> None:
    """Nothing is sealed for it, on any edge."""
    plain = replace(RUN, job=RUN.job.model_copy(update={"secrets": ()}))
    with desk.database.transaction() as session:
        get_edge(session, name="press-1").sealing_key = ""
    assert desk.seal(plain) is None
