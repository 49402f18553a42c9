"""What the tests of swapped pipelines share: contents that tell who answered, and a stream of messages."""

import io
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from schemas.broker import BrokerAddress
from schemas.manifest import WantedHealth, WantedModel, WantedPipeline
from schemas.models import ModelVersion, Signature
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec
from schemas.report import PipelineState, PipelineStatus, Report
from tests.integration.agent_process import AgentProcess
from tests.integration.scripted_controller import ScriptedController
from tests.integration.test_agent_deployments import adding
from transport.mqtt import Subscription, connect

WHO = (
    "def exec(value):\n    (asked,), (answer,) = value['in'], value['sum']\n{more}    return [asked, answer - asked]\n"
)
"""Answers [5] with [5, the model's version]."""

SOON = WantedHealth(watch_s=600, min_messages=5, max_failed=0.5)  # no test waits for its end


def sample(scripted: ScriptedController, asked: list[float], answered: list[float]) -> BlobRef:
    """A recorded sample of a model that ``adding`` made."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {"in/x": np.array(asked, np.float32), "out/y": np.array(answered, np.float32)}
    np.savez(file, **arrays)
    return scripted.blobs.put_bytes(file.getvalue())


def model(
    scripted: ScriptedController, number: int, file: bytes | None = None, sample_ref: BlobRef | None = None
) -> WantedModel:
    """Version ``number`` of the model ``add``, which adds that number unless there is another file."""
    card = ModelVersion(
        name="add",
        version=number,
        files={"model.onnx": scripted.blobs.put_bytes(adding(number) if file is None else file)},
        signature=Signature(inputs=(), outputs=()),
        sample=sample_ref,
        created_at=datetime.now(UTC),
    )
    return WantedModel(name="add", version=number, card=scripted.blobs.put_bytes(card.model_dump_json().encode()))


def content(
    scripted: ScriptedController,
    number: int,
    *,
    wanted: WantedModel | None = None,
    more: str = "",
    health: WantedHealth | None = SOON,
    replicas: int = 1,
) -> WantedPipeline:
    """A pipeline that answers with this version of the model; its library does more if that is wanted."""
    nodes: list[Mapping[str, object]] = [
        {"id": "in", "type": "mqtt_sub", "topic": "in"},
        {"id": "sum", "type": "model", "model": "add", "outputs": ["y"], "inputs": ["in"]},
        {"id": "who", "type": "library", "library": "pipelib_who", "inputs": ["in", "sum"]},
        {"id": "out", "type": "mqtt_pub", "topic": "out", "inputs": ["who"]},
    ]
    spec = PipelineSpec.model_validate({"name": "adding", "nodes": nodes, "replicas": replicas})
    source = WHO.replace("{more}", "".join(f"    {line}\n" for line in more.splitlines()))
    return WantedPipeline(
        name="adding",
        version=number,
        spec=scripted.blobs.put_bytes(spec.model_dump_json().encode()),
        content_id=f"content-{number}",
        models={"add": wanted or model(scripted, number)},
        health=health,
        libraries={"pipelib_who": scripted.blobs.put_bytes(source.encode())},
    )


def the_one(report: Report) -> PipelineStatus:
    """The only pipeline's status; one that says nothing while there is none."""
    nothing = PipelineStatus(name="none", version=1, state=PipelineState.STARTING)
    return report.pipelines[0] if report.pipelines else nothing


def answers(report: Report, number: int) -> bool:
    """Whether this content answers now."""
    status = the_one(report)
    taking = {PipelineState.LISTENING, PipelineState.DEGRADED}
    return status.state in taking and (status.content_id, status.models) == (f"content-{number}", {"add": number})


def went_back(report: Report, to: int, from_: int) -> bool:
    """Whether the first answers, and it is told that the other did not do."""
    returned = the_one(report).returned
    return answers(report, to) and returned is not None and returned.content_id == f"content-{from_}"


async def ask(broker: BrokerAddress, *numbers: int) -> list[list[float]]:
    """Ask these at QoS 1; the answers in the order in which they come, each question's first one."""
    async with connect(broker, "device") as device:
        coming = await device.subscribe("out")
        for number in numbers:
            await device.publish("in", orjson.dumps([number]))
        return await first_answers(coming, set(numbers))


async def first_answers(coming: Subscription, numbers: set[int]) -> list[list[float]]:
    """Wait until each of these is answered; the first answer to each."""
    found: dict[int, list[float]] = {}
    while not numbers <= found.keys():
        message = orjson.loads((await anext(coming)).payload)
        found.setdefault(int(message[0]), message)
    return [found[number] for number in sorted(numbers)]


def previous_in_journal(agent: AgentProcess) -> list[str]:
    """The pipelines that the agent may go back with."""
    db = sqlite3.connect(f"file:{agent.data_dir / 'journal.sqlite'}?mode=ro", uri=True)
    try:
        return [name for (name,) in db.execute("SELECT name FROM previous_pipelines")]
    finally:
        db.close()
