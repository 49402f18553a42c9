"""What a run's task says: its rows, what it builds upon, and what is taken from an earlier run."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from controller.data.selection import Selector
from controller.runs.machine import advance
from controller.runs.steps import Event, Refused, Run, Selected
from controller.runs.task_writing import TaskWriter
from controller.stores.collections import CollectionStore
from controller.stores.database import Database, open_database
from controller.stores.jobs import save_job
from controller.stores.runs import load_run, move_watermarks, queue_run, save_step
from controller.stores.tables import RunRow
from schemas.errors import BadInput
from schemas.jobs import JobSpec
from schemas.tasks import TaskSpec
from tests.integration.selecting import LINES, NO_SOURCES, PRESS
from transport.blob_store import BlobDirectory

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
NEW = {"query": "SELECT position, strokes FROM press", "new_data_only": True, "collection": "press"}


@dataclass
class Desk:
    """A task writer with its databases; its runs end as soon as their task is written."""

    database: Database
    collections: CollectionStore
    blobs: BlobDirectory
    ticks: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    def job(self, **chosen: object) -> JobSpec:
        """Save a job that asks for new rows, or for what is chosen."""
        script = {"path": "train.py", "blob": self.blobs.put_bytes(b"train()").model_dump()}
        written = {"name": "wear", "model": "wear", "edge": "e", "scripts": [script], "queries": [NEW], **chosen}
        spec = JobSpec.model_validate(written)
        with self.database.transaction() as session:
            save_job(session, spec=spec, now=START)
        return spec

    def queue(self, job: JobSpec, **chosen: object) -> Run:
        """A run that is due."""
        at = START + timedelta(minutes=next(self.ticks))
        with self.database.transaction() as session:
            row = queue_run(session, job=job, trigger="manual", scheduled_at=at, now=at, **chosen)  # type: ignore[arg-type]
            assert row is not None
            return load_run(session, run_id=row.id)

    async def write(self, run: Run) -> Event:
        """What came of selecting its data."""
        selector = Selector(self.collections, NO_SOURCES, self.blobs, max_bytes=10**9, timeout_s=60)
        return await TaskWriter(self.database, selector, self.blobs).write(run)

    async def selected(self, run: Run) -> tuple[Selected, TaskSpec]:
        """Its data and its task."""
        event = await self.write(run)
        assert isinstance(event, Selected), event
        return event, TaskSpec.model_validate_json(self.blobs.read_bytes(event.task.digest, limit=10**6))

    def trained(self, run: Run, event: Selected) -> None:
        """Note that the run has selected this, and that a version came of it."""
        admitted = Run(**{name: getattr(run, name) for name in run.__slots__} | {"admitted": True})
        with self.database.transaction() as session:
            save_step(session, before=run, after=advance(admitted, event, START))
            move_watermarks(session, job=run.job.name, data=event.data)

    def rows(self, task: TaskSpec) -> list[object]:
        """What the script finds at ``collection_data_1_path``."""
        found = orjson.loads(self.blobs.read_bytes(task.data[0].blob.digest, limit=10**7))
        return [row["strokes"] for row in found]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with two collections."""
    with (
        closing(open_database(f"sqlite:///{tmp_path / 'control.db'}")) as database,
        closing(CollectionStore(f"sqlite:///{tmp_path / 'collections.db'}")) as collections,
    ):
        collections.declare_all([PRESS, LINES])
        yield Desk(database, collections, BlobDirectory(tmp_path / "blobs"))


def strokes(*numbers: int) -> list[dict[str, str | int | float | bool | None]]:
    """Rows."""
    return [{"strokes": number} for number in numbers]


async def test_each_run_gets_what_is_new_to_it(desk: Desk) -> None:
    """Run after run gets the rows behind the last registered one's; a run that failed leaves its rows to the next.

    (defects 1, 2, 3)
    """
    job = desk.job()
    desk.collections.insert("press", strokes(1, 2))
    failed, task = await desk.selected(desk.queue(job))
    assert desk.rows(task) == [1, 2]
    desk.collections.insert("press", strokes(3))
    run = desk.queue(job)
    event, task = await desk.selected(run)
    assert desk.rows(task) == [1, 2, 3]
    desk.collections.insert("press", strokes(4))  # while it trains
    desk.trained(run, event)
    _, task = await desk.selected(desk.queue(job))
    assert desk.rows(task) == [4]
    assert failed.data[0].windows["press"].upto == 2


async def test_nothing_new_too_few_and_a_failure_are_told_apart(desk: Desk) -> None:
    """A run is skipped when nothing is new or too little, each with its words, and fails when a query does.

    None of them is given an earlier run's rows. (defect 7)
    """
    job = desk.job(min_rows=2)
    nothing = await desk.write(desk.queue(job))
    assert nothing == Refused("there were no new entries in collection press since the last training")
    desk.collections.insert("press", strokes(1))
    few = await desk.write(desk.queue(job))
    assert few == Refused("there were 1 new rows, and the job asks for at least 2")
    broken = desk.job(name="broken", queries=[NEW, {"query": "SELECT colour FROM press"}])
    with pytest.raises(BadInput, match="query 2: the query failed: no such column: colour"):
        await desk.write(desk.queue(broken))


async def test_a_full_run_starts_from_the_beginning(desk: Desk) -> None:
    """Asked for in full, a run gets all rows; afterwards only what came later is new."""
    job = desk.job()
    desk.collections.insert("press", strokes(1, 2))
    run = desk.queue(job)
    event, _ = await desk.selected(run)
    desk.trained(run, event)
    desk.collections.insert("press", strokes(3))
    full = desk.queue(job, full=True)
    event, task = await desk.selected(full)
    assert desk.rows(task) == [1, 2, 3]
    desk.trained(full, event)
    desk.collections.insert("press", strokes(4))
    _, task = await desk.selected(desk.queue(job))
    assert desk.rows(task) == [4]


async def test_a_full_run_without_rows_does_not_speak_of_new_ones(desk: Desk) -> None:
    """That there is nothing at all is told differently from nothing new."""
    assert await desk.write(desk.queue(desk.job(), full=True)) == Refused("the job's queries gave no rows")


async def test_each_query_has_marks_of_its_own(desk: Desk) -> None:
    """Two queries over new rows of one collection, and one that joins, each go on from where they were."""
    every = {**NEW, "query": "SELECT strokes FROM press WHERE strokes > 100"}
    job = desk.job(queries=[NEW, every])
    desk.collections.insert("press", strokes(1))
    run = desk.queue(job)
    event, _ = await desk.selected(run)
    desk.trained(run, event)
    desk.collections.insert("press", strokes(200))
    _, task = await desk.selected(desk.queue(job))
    assert [data.rows for data in task.data] == [1, 1]


async def test_a_query_without_new_rows_gives_none_beside_others_that_have_some(desk: Desk) -> None:
    """Where one of two queries has nothing new, its file is an empty array, not what the last run had (defect 7)."""
    of_lines = {"query": "SELECT line FROM lines", "new_data_only": True, "collection": "lines"}
    job = desk.job(queries=[NEW, of_lines])
    desk.collections.insert("press", strokes(1))
    desk.collections.insert("lines", [{"line": "a"}])
    run = desk.queue(job)
    event, first = await desk.selected(run)
    desk.trained(run, event)
    desk.collections.insert("press", strokes(2))
    _, second = await desk.selected(desk.queue(job))
    assert [data.rows for data in first.data] == [1, 1]
    assert desk.rows(second) == [2]
    empty = orjson.loads(desk.blobs.read_bytes(second.data[1].blob.digest, limit=100))
    assert (second.data[1].rows, empty) == (0, [])


async def test_a_replay_is_the_same_byte_for_byte(desk: Desk) -> None:
    """Trained again, a run has the same task but for its id: also after its job, its rows and its marks went on."""
    job = desk.job(params={"depth": 3}, holdout={"query": "SELECT * FROM press", "fraction": 0.5})
    desk.collections.insert("press", strokes(*range(20)))
    run = desk.queue(job)
    event, task = await desk.selected(run)
    desk.trained(run, event)
    desk.collections.insert("press", strokes(*range(99)))
    edited = desk.job(params={"depth": 4}, queries=[{"query": "SELECT * FROM lines"}])
    again = desk.queue(edited, replays=run.id)
    replayed, same = await desk.selected(again)
    assert same == task.model_copy(update={"run_id": again.id})
    assert (replayed.data, replayed.holdout, replayed.base_version) == (event.data, event.holdout, event.base_version)
    assert replayed.task != event.task


async def test_a_replay_keeps_words_that_this_version_does_not_know(desk: Desk) -> None:
    """A task that a newer or older controller wrote is handed on with all that it says."""
    job = desk.job()
    desk.collections.insert("press", strokes(1))
    run = desk.queue(job)
    event, _ = await desk.selected(run)
    desk.trained(run, event)
    document = orjson.loads(desk.blobs.read_bytes(event.task.digest, limit=10**6)) | {"later": {"x": 1}}
    with desk.database.transaction() as session:
        row = session.get(RunRow, run.id)
        assert row is not None
        row.task = desk.blobs.put_bytes(orjson.dumps(document)).model_dump_json()
    replayed, _ = await desk.selected(desk.queue(job, replays=run.id))
    assert orjson.loads(desk.blobs.read_bytes(replayed.task.digest, limit=10**6))["later"] == {"x": 1}


async def test_a_replay_says_what_is_gone(desk: Desk) -> None:
    """What was collected meanwhile is named, instead of training on something else (defect 7)."""
    job = desk.job(requirements=["numpy"])
    desk.collections.insert("press", strokes(1))
    run = desk.queue(job)
    event, task = await desk.selected(run)
    desk.trained(run, event)
    desk.blobs.delete(event.data[0].blob.digest)
    assert task.requirements is not None
    desk.blobs.delete(task.requirements.digest)
    with pytest.raises(BadInput, match=r"cannot be done again: collection_data_1.json, requirements.txt are no longer"):
        await desk.write(desk.queue(job, replays=run.id))
    desk.blobs.delete(event.task.digest)
    with pytest.raises(BadInput, match=r"cannot be done again: its task is no longer kept; keep\.runs"):
        await desk.write(desk.queue(job, replays=run.id))


async def test_what_never_was_cannot_be_replayed(desk: Desk) -> None:
    """A run that selected nothing, and one that is forgotten, are refused with their ids."""
    job = desk.job()
    skipped = desk.queue(job)
    with pytest.raises(BadInput, match=f"run {skipped.id} cannot be done again: no data was ever selected"):
        await desk.write(desk.queue(job, replays=skipped.id))
    forgotten = uuid4()
    with pytest.raises(BadInput, match=f"run {forgotten} cannot be done again: it is no longer kept"):
        await desk.write(desk.queue(job, replays=forgotten))


async def test_requirements_may_be_a_list(desk: Desk) -> None:
    """Lines in the job become a requirements file, the same one for the same lines."""
    job = desk.job(requirements=["scikit-learn==1.7", "numpy>=2"])
    desk.collections.insert("press", strokes(1))
    _, task = await desk.selected(desk.queue(job))
    assert task.requirements is not None
    assert desk.blobs.read_bytes(task.requirements.digest, limit=1000) == b"scikit-learn==1.7\nnumpy>=2\n"


async def test_formats_reach_the_task(desk: Desk) -> None:
    """Each query's format, and the holdout's, is told to the edge, which names the files by it."""
    queries = [{**NEW, "format": "csv"}, {"query": "SELECT strokes FROM press", "format": "parquet"}]
    job = desk.job(queries=queries, holdout={"query": "SELECT * FROM press", "fraction": 0.2, "format": "ndjson"})
    desk.collections.insert("press", strokes(*range(50)))
    event, task = await desk.selected(desk.queue(job))
    assert [data.format for data in task.data] == ["csv", "parquet"]
    assert task.holdout is not None
    assert (task.holdout.format, [data.format for data in event.data]) == ("ndjson", ["csv", "parquet"])
    assert desk.blobs.read_bytes(task.data[0].blob.digest, limit=10**6).startswith(b"position,strokes\r\n")
    assert desk.blobs.read_bytes(task.data[1].blob.digest, limit=10**6).startswith(b"PAR1")
