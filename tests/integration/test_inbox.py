"""The controller takes everything that edges say, however many speak at once."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from controller.data.collected import CollectedRows
from controller.inbox import Inbox
from controller.manifests import Manifests
from controller.outcomes import Outcomes
from controller.runs.records import RunRecords
from controller.runs.supervisor import Supervisor
from controller.signing_keys import SigningKeys
from controller.stores.collections import CollectionStore
from controller.stores.database import Database, open_database
from controller.stores.edges import add_edge, list_edges
from schemas.broker import BrokerAddress
from schemas.topics import MANIFEST, PRESENCE
from schemas.wire import Presence
from tests.integration.agent_process import until
from transport.mqtt import connect

EDGES = 3000


@pytest.fixture(name="rows")
def _rows(tmp_path: Path) -> Iterator[CollectionStore]:
    """A collection store."""
    with closing(CollectionStore(f"sqlite:///{tmp_path}/rows.db")) as store:
        yield store


async def test_no_presence_is_lost_when_thousands_of_edges_come_at_once(
    broker: BrokerAddress, rows: CollectionStore, tmp_path: Path
) -> None:
    """Every edge of a crowd that comes at one moment is online soon, though none says so twice."""
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    names = [f"edge-{number}" for number in range(EDGES)]
    with database.transaction() as session:
        for name in names:
            add_edge(session, name=name, labels={}, sealing_key="", now=_now())
    async with connect(broker, "controller") as link, connect(broker, "edges") as edges, asyncio.timeout(120):
        manifests = Manifests(database, SigningKeys(tmp_path), link)
        supervisor = Supervisor(database, manifests, clock=_now)
        inbox = Inbox(
            *(link, database, supervisor, manifests, RunRecords(tmp_path), Outcomes(link)),
            collected=CollectedRows(link, rows),
            clock=_now,
        )
        serving = asyncio.create_task(inbox.serve())
        said = (Presence(edge=name, online=True, session_id="1").to_wire() for name in names)
        told = zip(names, said, strict=True)
        await asyncio.gather(*(edges.publish(PRESENCE.to(edge=name), text, retain=True) for name, text in told))
        await _until_all_online(database)
        serving.cancel()
    database.close()


async def test_a_presence_that_the_database_could_not_take_is_not_lost(
    broker: BrokerAddress, rows: CollectionStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An edge that comes while nothing can be written is online, with its manifest published, when that is over."""
    file = tmp_path / "control.db"
    database = open_database(f"sqlite:///{file}")
    event.listen(database._engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0"))
    database._engine.dispose()
    with database.transaction() as session:
        add_edge(session, name="edge-1", labels={}, sealing_key="", now=_now())
    async with connect(broker, "controller") as link, connect(broker, "edge-1") as edge, asyncio.timeout(60):
        manifests = Manifests(database, SigningKeys(tmp_path), link)
        supervisor = Supervisor(database, manifests, clock=_now)
        inbox = Inbox(
            *(link, database, supervisor, manifests, RunRecords(tmp_path), Outcomes(link)),
            collected=CollectedRows(link, rows),
            clock=_now,
        )
        told = await edge.subscribe(MANIFEST.to(edge="edge-1"))
        async with asyncio.TaskGroup() as tasks:
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                manifests.mark("edge-1")
                serving = [tasks.create_task(each.serve()) for each in (inbox, manifests)]
                here = Presence(edge="edge-1", online=True, session_id="1").to_wire()
                await edge.publish(PRESENCE.to(edge="edge-1"), here, retain=True)
                await until(lambda: {"message is handled later", "manifest is published later"} <= set(caplog.messages))
                other.execute("ROLLBACK")
            await _until_all_online(database)
            await anext(aiter(told))
            for each in serving:
                each.cancel()
    database.close()


async def _until_all_online(database: Database) -> None:
    while not await database.read(lambda session: all(row.online for row in list_edges(session))):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _now() -> datetime:
    return datetime.now(UTC)
