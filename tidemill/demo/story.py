"""The demonstration's story: devices publish, a timer trains, a version serves, the next is swapped in under load."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from schemas.errors import TidemillError
from schemas.fleet import Fleet, FleetDocument, JobDocument
from schemas.gates import Gate
from schemas.model_views import ModelView
from schemas.report import PipelineState
from schemas.runs import LIVE, RunState
from schemas.schedules import Schedule
from schemas.views import RunView
from tidemill.client import Client
from tidemill.demo.flowers import Asker, Device
from tidemill.demo.outcome import Outcome, RunOutcome, VersionOutcome
from tidemill.demo.show import Show

EDGE, JOB, MODEL, PIPELINE = "press-1", "iris-retrain", "iris", "iris-scoring"
FIRST_ROWS, MORE_ROWS = 100, 50
TICK_S = 8.0
LOOK_S = 0.2  # between two looks at the API
PATIENCE_S = 300.0  # for any one step; installing takes longest

Found = TypeVar("Found")


class StoryFailed(TidemillError):
    """The demonstration did not go as it should; the message says where it stopped."""

    code = "failed"


class Story:
    """One telling: ``tell`` ends when the second version has answered, ``go_on`` never."""

    def __init__(self, client: Client, device: Device, asker: Asker, show: Show, fleet: Fleet, executor: str) -> None:
        self.client, self.device, self.asker = client, device, asker
        self._show, self._fleet, self._executor = show, fleet, executor

    async def tell(self) -> None:
        """From the first row to answers of the second version."""
        self._show.begin(f"a device publishes {FIRST_ROWS} measured flowers")
        await self._apply([document for document in self._fleet.documents if not isinstance(document, JobDocument)])
        await self.device.publish(FIRST_ROWS)
        await self._until(lambda: self._rows() >= FIRST_ROWS or None, "the rows to be in the collection")

        self._show.begin(f"a timer fires every {TICK_S:g} s and trains on {EDGE}")
        await self._apply([_ticking(job) for job in self._fleet.documents if isinstance(job, JobDocument)])
        await self._until_version(1)

        self._show.begin("version 1 is deployed and answers")
        await self._until_serving(1)
        self.asker.begin()
        await self._answers(20)

        self._show.begin(f"{MORE_ROWS} more flowers come, and the next tick trains on the new ones alone")
        await self.device.publish(MORE_ROWS)
        await self._until_version(2)

        self._show.begin("version 2 is swapped in while messages flow")
        await self._until_serving(2)
        await self._answers(20)

    async def go_on(self) -> None:
        """More flowers, more versions, until cancelled."""
        self._show.begin("it goes on by itself; Ctrl-C ends it")
        version = 2
        while True:
            await self.device.publish(MORE_ROWS)
            version += 1
            await self._until_version(version)
            await self._until_serving(version)
            await self._answers(100)

    async def outcome(self, broker: str, started: float) -> Outcome:
        """What came of it, for programs; ``started`` is on the monotonic clock."""
        runs = await asyncio.to_thread(self.client.runs, job=JOB)
        model = await asyncio.to_thread(self.client.model, MODEL)
        trained = [run for run in reversed(runs) if run.state not in LIVE | {RunState.SKIPPED}]
        return Outcome(
            executor=self._executor,
            broker=broker,
            elapsed_s=round(time.monotonic() - started, 2),
            rows_published=self.device.published,
            runs=tuple(_run_outcome(run) for run in trained),
            versions=tuple(
                VersionOutcome(version=card.version, rows=card.rows, metrics=card.metrics)
                for card in reversed(model.versions)
            ),
            messages=self.asker.counts,
        )

    async def _apply(self, documents: list[FleetDocument]) -> None:
        await asyncio.to_thread(self.client.apply, Fleet(documents=tuple(documents)))

    def _rows(self) -> int:
        return self.client.collection("iris").rows

    async def _answers(self, more: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.asker.answers(more)

    async def _until_version(self, version: int) -> None:
        model = await self._until(lambda: self._version(version), f"version {version}")
        champion = next((alias.version for alias in model.aliases if alias.name == "champion"), None)
        self._show.versions(model.versions, champion)

    def _version(self, version: int) -> ModelView | None:
        for run in self.client.runs(job=JOB, limit=5):
            if run.state in {RunState.FAILED, RunState.TIMED_OUT, RunState.LOST}:
                raise StoryFailed(f"run {run.id} is {run.state}: {run.reason}")
        model = self.client.model(MODEL)
        return model if model.versions and model.versions[0].version >= version else None

    async def _until_serving(self, version: int) -> None:
        await self._until(lambda: self._serves(version), f"the pipeline to serve version {version}")
        self.asker.version = version

    def _serves(self, version: int) -> bool | None:
        status = self.client.pipeline(PIPELINE).edges.get(EDGE)
        if status is None or status.state is not PipelineState.LISTENING:
            return None
        return status.models.get(MODEL, 0) >= version or None

    async def _until(self, look: Callable[[], Found | None], what: str) -> Found:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (found := await asyncio.to_thread(look)) is None:  # noqa: ASYNC110 - the API is another process
                    await asyncio.sleep(LOOK_S)
                return found
        except TimeoutError as error:
            raise StoryFailed(f"waited {PATIENCE_S:g} s for {what}, in vain") from error


def _ticking(job: JobDocument) -> JobDocument:
    """The example's job on a shorter timer, whose version is always promoted: the demonstration is about the swap."""
    gate = (job.gate or Gate()).model_copy(update={"metric": None})
    schedule = Schedule(every=TICK_S)
    return job.model_copy(update={"schedule": schedule, "min_rows": MORE_ROWS, "gate": gate})


def _run_outcome(run: RunView) -> RunOutcome:
    ended = run.ended_at or run.created_at
    duration_s = round((ended - run.created_at).total_seconds(), 3)
    return RunOutcome(id=run.id, state=run.state, duration_s=duration_s, script_s=run.script_s)
