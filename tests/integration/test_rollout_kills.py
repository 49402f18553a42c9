"""A controller killed while it looks at rollouts: all of a look is kept or nothing, and edges are told of it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel, select

from controller.manifests import Manifests
from controller.rollouts import orders
from controller.rollouts.loop import Rollouts
from controller.signing_keys import SigningKeys
from controller.stores.database import Database, open_database
from controller.stores.tables import ChangeRow, PlacementRow, RolloutRow
from schemas.broker import BrokerAddress
from schemas.manifest import Manifest, SignedManifest
from schemas.rollouts import RolloutState
from schemas.topics import MANIFEST
from tests.integration.rollout_bench import RolloutBench
from transport.mqtt import connect

ABCD = ("a", "b", "c", "d")


def begin(bench: RolloutBench) -> None:
    """Half way through a rollout in batches of two."""
    bench.prepare(*ABCD)
    bench.look()
    bench.settle(*ABCD)
    bench.look()
    bench.deploy(rollout={"strategy": "batches", "batch": 2})
    bench.model()
    bench.look()


def next_step(bench: RolloutBench) -> None:
    """The next edges are to be told."""
    bench.settle("a", "b")


def goes_back(bench: RolloutBench) -> None:
    """One of the edges could not have it: both are to go back."""
    bench.returns("a", None)


def superseded(bench: RolloutBench) -> None:
    """The alias has moved once more, and an edge has come."""
    bench.edge("late")
    bench.model()


def kept(database: Database) -> list[list[tuple[Any, ...]]]:
    """All that is written of rollouts."""

    def rows(table: type[SQLModel]) -> list[tuple[Any, ...]]:
        with database.transaction() as session:
            return sorted((tuple(row.model_dump().values()) for row in session.exec(select(table))), key=repr)

    return [rows(table) for table in (RolloutRow, PlacementRow, ChangeRow)]


@pytest.mark.parametrize("happens", [next_step, goes_back, superseded])
def test_a_look_that_is_killed_is_made_whole(happens: Callable[[RolloutBench], None], tmp_path: Path) -> None:
    """Killed at any of its statements and commits, it is kept whole or not at all, and the next look comes to the same.

    Each with ``kill -9``, on a copy of the same database.
    """
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    bench = RolloutBench(database)
    begin(bench)
    happens(bench)
    before = kept(database)
    database.close()
    arguments = [sys.executable, "-m", "tests.integration.looking_process", str(tmp_path), bench.now.isoformat()]
    subprocess.run(arguments, check=True, timeout=300)
    copies = sorted(tmp_path.glob("[0-9]*.db"), key=lambda path: int(path.stem))
    assert len(copies) > 15
    after = _kept_in(copies[-1])
    assert after != before
    for copy in copies[:-1]:
        assert _kept_in(copy) in (before, after), copy.stem
        assert _kept_in(copy, look=RolloutBench.look) == after, copy.stem


def _kept_in(path: Path, *, look: Callable[[RolloutBench], object] | None = None) -> list[list[tuple[Any, ...]]]:
    database = open_database(f"sqlite:///{path}")
    try:
        if look is not None:
            look(RolloutBench(database))
        return kept(database)
    finally:
        database.close()


class Controller:
    """The loops of a controller that move edges, and an edge's ear."""

    def __init__(self, rollouts: Rollouts, heard: AsyncIterator[Manifest]) -> None:
        self.rollouts, self._heard = rollouts, heard

    async def until_version(self, version: int) -> Manifest:
        """The first manifest that the edge is sent with this version of the model."""
        async with asyncio.timeout(20):
            async for manifest in self._heard:
                if [one.models["iris"].version for one in manifest.pipelines] == [version]:
                    return manifest
        raise AssertionError("the subscription ended")


@asynccontextmanager
async def controller(bench: RolloutBench, broker: BrokerAddress, folder: Path, edge: str) -> AsyncIterator[Controller]:
    """A controller's loops, for the length of the block."""
    async with connect(broker, "controller") as link, connect(broker, edge) as ear:
        subscription = await ear.subscribe(MANIFEST.to(edge=edge), qos=1)
        manifests = Manifests(bench.database, SigningKeys(folder), link)
        rollouts = Rollouts(bench.database, manifests, clock=lambda: bench.now)

        async def heard() -> AsyncIterator[Manifest]:
            async for message in subscription:
                signed = SignedManifest.model_validate_json(message.payload)
                yield Manifest.model_validate_json(signed.payload)

        tasks = [asyncio.create_task(serve) for serve in (manifests.serve(), rollouts.serve())]
        try:
            yield Controller(rollouts, heard())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_was_saved_and_told_nobody_is_told_by_the_next_controller(
    tmp_path: Path, broker: BrokerAddress
) -> None:
    """Killed between its commit and its manifests, a controller leaves nothing undone: the next one tells the edge."""
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    bench = RolloutBench(database)
    begin(bench)
    next_step(bench)
    bench.look(publish=False)
    assert bench.versions()["c"] == 1
    async with controller(bench, broker, tmp_path, "c") as after:
        manifest = await after.until_version(2)
    assert manifest.generation == bench.generation("c")
    database.close()


async def test_orders_and_reports_reach_edges_without_being_asked_for(tmp_path: Path, broker: BrokerAddress) -> None:
    """A person's abort, an alias that moves and a report that ends a step each change the manifests of their edges."""
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    bench = RolloutBench(database)
    begin(bench)
    async with controller(bench, broker, tmp_path, "b") as running:  # which is told after a
        await running.until_version(2)
        abort = partial(orders.abort, reason="not today", revision=None)
        await running.rollouts.order(lambda session, now: abort(session, "here", now=now))
        await running.until_version(1)
        assert bench.state is RolloutState.ABORTED
        bench.model()
        await running.rollouts.promoted("iris")
        await running.until_version(3)
    async with controller(bench, broker, tmp_path, "c") as running:
        bench.settle("a", "b")
        running.rollouts.reported()
        await running.until_version(3)
    database.close()
