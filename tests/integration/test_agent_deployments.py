"""Models and pipelines on an edge: fetched, verified, laid out, served, replaced and removed."""

from datetime import UTC, datetime

import onnx
import pytest
from onnx import TensorProto, helper

from schemas.broker import BrokerAddress
from schemas.manifest import WantedModel, WantedPipeline
from schemas.models import ModelVersion, Signature
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec
from schemas.report import ModelState, PipelineState, PipelineStatus
from tests.integration.agent_process import AgentProcess, until
from tests.integration.scripted_controller import ScriptedController
from transport.mqtt import connect


def adding(number: float) -> bytes:
    """A model that adds a number to each of its inputs."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])]
    constant = helper.make_tensor("number", TensorProto.FLOAT, [1], [number])
    graph = helper.make_graph([helper.make_node("Add", ["x", "number"], ["y"])], "add", inputs, outputs, [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(onnx.ModelProto.SerializeToString(model))


def version(scripted: ScriptedController, number: int, file: BlobRef | None = None) -> WantedModel:
    """Version ``number`` of the model ``add``, which adds that number."""
    model = file or scripted.blobs.put_bytes(adding(number))
    card = ModelVersion(
        name="add",
        version=number,
        files={"model.onnx": model, "parts/labels.json": scripted.blobs.put_bytes(b"[]")},
        signature=Signature(inputs=(), outputs=()),
        created_at=datetime.now(UTC),
    )
    ref = scripted.blobs.put_bytes(card.model_dump_json().encode())
    return WantedModel(name="add", version=number, card=ref)


def adding_pipeline(scripted: ScriptedController, number: int) -> WantedPipeline:
    """A pipeline that answers what comes on ``in`` with version ``number`` of the model, through a library."""
    spec = PipelineSpec.model_validate(
        {
            "name": "adding",
            "nodes": [
                {"id": "in", "type": "mqtt_sub", "topic": "in"},
                {"id": "sum", "type": "model", "model": "add", "inputs": ["in"]},
                {"id": "first", "type": "library", "library": "pipelib_first", "inputs": ["sum"]},
                {"id": "out", "type": "mqtt_pub", "topic": "out", "inputs": ["first"]},
            ],
        }
    )
    return WantedPipeline(
        name="adding",
        version=number,
        spec=scripted.blobs.put_bytes(spec.model_dump_json().encode()),
        models={"add": version(scripted, number)},
        libraries={"pipelib_first": scripted.blobs.put_bytes(b"def exec(values):\n    return values[0]\n")},
    )


async def answer(broker: BrokerAddress, message: bytes) -> bytes:
    """What the pipeline says to a message."""
    async with connect(broker, "device") as device:
        answers = await device.subscribe("out")
        await device.publish("in", message)
        return (await anext(answers)).payload


async def test_a_wanted_model_is_laid_out_and_an_unwanted_one_goes(
    scripted: ScriptedController, agent: AgentProcess
) -> None:
    """Every file of a version stands at its path once it is ready, and is gone once it is not wanted."""
    await scripted.want(models=(version(scripted, 1),))
    report = await scripted.report(lambda report: [model.state for model in report.models] == [ModelState.READY])
    assert (report.models[0].name, report.models[0].version) == ("add", 1)
    folder = agent.data_dir / "models/add/1"
    assert (folder / "model.onnx").read_bytes() == adding(1)
    assert (folder / "parts/labels.json").read_bytes() == b"[]"
    await scripted.want(models=(version(scripted, 2),))
    await scripted.report(lambda report: any(model.version == 2 and model.state == "ready" for model in report.models))
    await until(lambda: not folder.exists())


@pytest.mark.usefixtures("agent")
async def test_a_model_that_cannot_be_had_says_why_and_is_tried_again(scripted: ScriptedController) -> None:
    """A missing file fails the model with its digest as the reason, until the controller holds it."""
    await scripted.send_no_blobs()
    model = scripted.blobs.put_bytes(adding(1))
    wanted = version(scripted, 1, model)
    scripted.blobs.delete(model.digest)
    scripted.send_blobs()
    await scripted.want(models=(wanted,))
    report = await scripted.report(lambda report: [model.state for model in report.models] == [ModelState.FAILED])
    assert model.digest in report.models[0].reason
    scripted.blobs.put_bytes(adding(1))
    await scripted.report(lambda report: [model.state for model in report.models] == [ModelState.READY])


async def test_a_pipeline_is_served_until_the_next_version_is_here(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """A pipeline answers, and answers with the next version once all of that is here.

    The next version's files are withheld at first: until they are here the version before goes on, also after kill -9.
    """
    await scripted.want(pipelines=(adding_pipeline(scripted, 1),))
    await scripted.report(lambda report: serves(report.pipelines, 1))
    assert await answer(broker, b"[1]") == b"2.0"
    await scripted.send_no_blobs()
    await scripted.want(pipelines=(adding_pipeline(scripted, 2),))
    await scripted.report(lambda report: report.generation == 2 and serves(report.pipelines, 1))
    agent.kill()
    agent.start()
    session = scripted.reports[-1].session_id
    await scripted.report(lambda report: report.session_id != session and serves(report.pipelines, 1))
    assert await answer(broker, b"[2]") == b"3.0"
    scripted.send_blobs()
    await scripted.report(lambda report: serves(report.pipelines, 2))
    assert await answer(broker, b"[2]") == b"4.0"
    await scripted.want()
    await scripted.report(lambda report: report.generation == 3 and report.pipelines == ())


def serves(pipelines: tuple[PipelineStatus, ...], number: int) -> bool:
    """Whether the one pipeline listens with this version."""
    return [(status.state, status.version) for status in pipelines] == [(PipelineState.LISTENING, number)]
