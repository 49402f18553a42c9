"""Bad input to a Tidemill at work: it is refused or put aside with a reason, and everything else goes on."""

import asyncio
import signal
from collections.abc import Callable
from uuid import uuid4

import psutil
import pytest

from schemas.errors import BadInput
from schemas.runs import RunState
from schemas.topics import (
    BLOB_ASK,
    BLOB_CHUNK,
    CONTROLLER_PRESENCE,
    MANIFEST,
    PRESENCE,
    REPORT,
    RUN_ACKS,
    RUN_EVENTS,
    RUN_LOGS,
)
from tests.e2e.world import READINGS, World, job, until

NO_ROWS = {
    b"{broken": "not JSON",
    b"\xff\xfe": "not JSON",
    b"": "not JSON",
    b"7": "should be an object with the columns as keys",
    b"{}": "holds none of the columns",
    b'{"value": 1}': "required column id is missing",
    b'{"id": "seven"}': "column id should be",
    b'{"id": 99999999999999999999}': "column id",
    b'[{"id": 100}, {"id": []}]': "row 2: column id",
    b'{"id": 1, "value": NaN}': "not JSON",
    b"[" * 200_000: "not JSON",
}


async def test_what_is_no_row_is_put_aside(world: World) -> None:
    """Payloads that do not fit become rejects with topic and reason, one by one; the rows round them all land."""
    await world.apply(READINGS)
    async with world.device() as device:
        for number, payload in enumerate(NO_ROWS):
            await device.publish("plant/a/readings", b'{"id": %d}' % number)
            await device.publish("plant/b/readings", payload)
    await world.until_rows(len(NO_ROWS) + 1)
    await until(lambda: world.client.collection("readings").rejects >= len(NO_ROWS) or None, "the rejects")
    ids = [row["id"] for row in world.client.rows("readings")]
    assert sorted(ids) == [*range(len(NO_ROWS)), 100]
    rejects = list(reversed(world.client.rejects("readings")))
    assert len(rejects) == len(NO_ROWS)
    for reject, reason in zip(rejects, NO_ROWS.values(), strict=True):
        assert reason in reject.reason
        assert reject.source == "plant/b/readings"


BAD_EDITS: dict[str, Callable[[], list[dict[str, object]]]] = {
    "column": lambda: [job(queries=[{"query": "SELECT nothing FROM readings"}])],
    "edge": lambda: [job(edge="press-9")],
    "key": lambda: [job(shedule={"every": "1m"})],
    "second document": lambda: [
        job(params={"accuracy": 0.9}),
        {**READINGS, "columns": {"id": "text", "value": "real"}},
    ],
}


async def test_a_refused_edit_leaves_the_job_at_work(world: World) -> None:
    """After each refused edit everything is as it was, and the job still trains as it did before."""
    await world.add_edge()
    await world.apply(READINGS, job())
    await world.publish(range(3))
    before = world.client.job("retrain"), world.client.collections(), world.client.models()
    for name, documents in BAD_EDITS.items():
        with pytest.raises(BadInput):
            await world.apply(*documents())
        assert (world.client.job("retrain"), world.client.collections(), world.client.models()) == before, name
    run = await world.until_ended(await world.run_job())
    assert (run.state, run.rows, run.metrics) == (RunState.SUCCEEDED, 3, {"accuracy": 0.5})


async def test_a_model_that_hangs_or_kills_its_check_harms_nobody(world: World) -> None:
    """While a model's check hangs the controller answers; when it dies, the model is refused and no version is made."""
    model: dict[str, object] = {"kind": "Model", "name": "tiny", "file": "tiny.onnx"}
    applying = asyncio.create_task(world.apply(model))
    check = await until(lambda: _check_of(world), "the model's check")
    check.send_signal(signal.SIGSTOP)
    assert world.client.edges() == []
    await world.add_edge("press-7", start=False)
    check.kill()
    with pytest.raises(BadInput, match=r"ended the process that checked it \(code -9\)"):
        await applying
    assert world.client.models() == []
    assert (await world.apply(model)).changes[0].version == 1


def _check_of(world: World) -> psutil.Process | None:
    children = psutil.Process(world.controller.pid).children()
    return next((child for child in children if "controller.checking.model_check" in child.cmdline()), None)


GARBAGE = [
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[" * 100_000,
    b'{"v": 2}',
    b'{"v": 1, "edge": "press-1", "online": "perhaps", "session_id": 7}',
    b'{"v": 1, "asked_by": "edge", "digest": "sha256:../../etc/passwd", "offset": 0, "length": 1}',
    b'{"v": 1, "asked_by": "edge", "digest": "sha256:%s", "offset": %d, "length": %d}' % (b"0" * 64, 2**70, 2**70),
    b'{"payload": "{}", "key_id": "me", "signature": "!"}',
]


async def test_garbage_on_our_own_topics_harms_nobody(world: World) -> None:
    """Whatever stands on the topics between controller and edge, both go on, and the next run succeeds."""
    edge, run = "press-1", str(uuid4())
    await world.add_edge(edge)
    await world.apply(READINGS, job())
    await world.publish(range(3))
    topics = [
        *(topic.to(edge=edge) for topic in (PRESENCE, REPORT, BLOB_ASK, MANIFEST)),
        *(topic.to(edge=edge, run=run) for topic in (RUN_EVENTS, RUN_LOGS, RUN_ACKS)),
        RUN_EVENTS.to(edge="nobody", run="no-run"),
        BLOB_CHUNK.to(edge=edge, digest=f"sha256:{'0' * 64}", offset="zero"),
        CONTROLLER_PRESENCE.pattern,
    ]
    daemons = [psutil.Process(daemon.pid) for daemon in (world.controller, world.edges[edge])]
    async with world.device() as device:
        for topic in topics:
            for payload in GARBAGE:
                await device.publish(topic, payload)
    ended = await world.until_ended(await world.run_job())
    assert (ended.state, ended.rows) == (RunState.SUCCEEDED, 3)
    assert all(daemon.status() != psutil.STATUS_ZOMBIE for daemon in daemons)
    assert "Traceback" not in world.controller.log.read_text() + world.edges[edge].log.read_text()
