"""A registry with its database, blobs and supervisor, and runs that are ready to be registered; no edge is needed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from controller.checking.model_checks import ModelChecks
from controller.gates.gatekeeper import Gatekeeper
from controller.gates.scorer import Scorer
from controller.manifests import Manifests
from controller.models.registry import Registry
from controller.models.uploads import Uploads
from controller.retention import Retention
from controller.runs.records import RunRecords
from controller.runs.steps import Run
from controller.runs.supervisor import Supervisor
from controller.signing_keys import SigningKeys
from controller.stores.database import Database, open_database
from controller.stores.jobs import save_job
from controller.stores.models import ensure_model, versions
from controller.stores.runs import load_run, queue_run, save_step
from schemas.broker import BrokerAddress
from schemas.fleet import ModelSpec
from schemas.jobs import JobSpec
from schemas.models import DataSelection, ModelVersion, NewVersion, Window
from schemas.names import BlobRef, FileTree
from schemas.runs import Exited, Outcome, Outputs, RunState, Started
from schemas.tasks import TaskScript, TaskSpec
from tests.onnx_graphs import times
from transport.blob_store import BlobDirectory
from transport.mqtt import connect

START = datetime(2026, 11, 20, 8, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that goes on by a second whenever it is looked at."""

    now: datetime = START

    def __call__(self) -> datetime:
        """The next second."""
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Bench:
    """The parts, in one folder."""

    folder: Path
    database: Database
    blobs: BlobDirectory
    records: RunRecords
    supervisor: Supervisor
    registry: Registry
    uploads: Uploads
    clock: Clock
    promotions: list[datetime] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, broker: BrokerAddress) -> "AsyncIterator[Bench]":
        """A bench with an empty database."""
        clock = Clock()
        database = open_database(f"sqlite:///{folder / 'control.db'}")
        blobs = BlobDirectory(folder / "blobs")
        promotions: list[datetime] = []

        async def promoted(_model: str) -> None:
            promotions.append(clock.now)

        async with connect(broker, "controller") as link:
            manifests = Manifests(database, SigningKeys(folder), link)
            supervisor = Supervisor(database, manifests, clock=clock)
            checks = ModelChecks()
            gatekeeper = Gatekeeper(blobs, Scorer(), clock=clock)
            registry = Registry(database, blobs, checks, gatekeeper, promoted, clock=clock)
            uploads = Uploads(database, blobs, checks, gatekeeper, clock=clock)
            yield cls(folder, database, blobs, RunRecords(folder), supervisor, registry, uploads, clock, promotions)
            await checks.close()
        database.close()

    @property
    def retention(self) -> Retention:
        """What forgets."""
        return Retention(self.database, self.blobs, self.records)

    def model(self, factor: float) -> BlobRef:
        """A model that multiplies by this."""
        return self.blobs.put_file(times(self.folder / "model.onnx", factor), move=True)

    async def upload(self, files: FileTree, name: str = "iris") -> ModelVersion:
        """A version that a person brings."""
        return (await self.uploads.bring(name, NewVersion(files=files), by="ada")).card

    def gate(self, gate: Mapping[str, object] | None, name: str = "iris") -> None:
        """Give a model this gate, or none."""
        spec = ModelSpec.model_validate({"name": name, "gate": gate})
        with self.database.transaction() as session:
            row = ensure_model(session, name=name, now=self.clock())
            row.gate = spec.gate.model_dump_json() if spec.gate else None

    def job(self, name: str = "retrain", **changes: object) -> JobSpec:
        """A job that is there, with its script."""
        script = self.blobs.put_bytes(f"# {name}".encode())
        written = {
            "name": name,
            "model": "iris",
            "edge": "press-1",
            "scripts": [{"path": "train.py", "blob": script.model_dump()}],
            **changes,
        }
        spec = JobSpec.model_validate(written)
        with self.database.transaction() as session:
            ensure_model(session, name=spec.model, now=self.clock())
            save_job(session, spec=spec, now=self.clock())
        return spec

    def rows(self, upto: int, *, after: int = 0) -> DataSelection:
        """New rows of the collection ``readings``."""
        blob = self.blobs.put_bytes(f"[{after}, {upto}]".encode())
        window = {"readings": Window(after=after, upto=upto)}
        return DataSelection(query="SELECT 1", windows=window, new_in=("readings",), rows=upto - after, blob=blob)

    def queued(self, job: JobSpec, *, replays: UUID | None = None) -> Run:
        """A run that has just been queued."""
        with self.database.transaction() as session:
            now = self.clock()
            row = queue_run(session, job=job, trigger="manual", scheduled_at=now, now=now, replays=replays)
            assert row is not None
            return load_run(session, run_id=row.id)

    def moved(self, run: Run, **changes: object) -> Run:
        """The run, after a step that changes this."""
        after = replace(run, **changes)  # type: ignore[arg-type]
        with self.database.transaction() as session:
            save_step(session, before=run, after=after)
        return replace(after, revision=run.revision + 1)

    def checking(
        self,
        job: JobSpec,
        *,
        additional: FileTree | None = None,
        data: tuple[DataSelection, ...] = (),
        replays: UUID | None = None,
        **metrics: float,
    ) -> Run:
        """A run that has left a model and these files, all of them held, and waits to be registered."""
        run = self.queued(job, replays=replays)
        scripts = tuple(TaskScript(name=ref.name, blob=ref.blob) for ref in job.scripts if ref.blob)
        requirements = self.blobs.put_bytes(b"numpy\n")
        task = TaskSpec(run_id=run.id, job=job.name, scripts=scripts, requirements=requirements)
        model = self.model(self.clock().timestamp() % 10000)
        outputs = Outputs(model=model, metrics=metrics, additional=additional or {})
        return self.moved(
            run,
            state=RunState.CHECKING,
            attempt=1,
            edge="press-1",
            data=data,
            holdout=self.rows(3),
            base_model="base:7",
            task=self.blobs.put_bytes(task.model_dump_json().encode()),
            started=Started(executor="process"),
            exited=Exited(outcome=Outcome.OK, outputs=outputs),
        )

    async def register(self, run: Run) -> Run:
        """Register the run, and tell what became of it."""
        await self.registry.register_run(run, self.supervisor)
        return self.run(run.id)

    def run(self, run_id: UUID) -> Run:
        """The run as it is now."""
        with self.database.transaction() as session:
            return load_run(session, run_id=run_id)

    def versions(self, model: str = "iris") -> list[ModelVersion]:
        """The cards of a model, oldest first."""
        with self.database.transaction() as session:
            return list(reversed(versions(session, model=model)))
