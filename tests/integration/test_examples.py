"""The examples do what they promise: their scripts in the job contract, their pipelines and their device."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from edge_agent.execution import outputs
from edge_agent.execution.docker_executor import DockerExecutor
from edge_agent.execution.images import availability
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.process_executor import ProcessExecutor
from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling import graph
from pipeline_runtime.libraries.library_module import Library
from pipeline_runtime.models.onnx_model import OnnxModel
from schemas.broker import BrokerAddress
from schemas.errors import TaskFailed
from schemas.fleet import Fleet, JobDocument, PipelineDocument
from schemas.runs import Outputs
from tests.integration.workbench import IMAGE, Workbench
from tidemill.client import blob_ref
from tidemill.fleet_files import read_fleet
from transport.mqtt import connect

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
EXAMPLES = Path(__file__).parents[2] / "examples"
FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
Row = dict[str, Any]


def flowers() -> list[Row]:
    """Every measured flower, the species well mixed and always in the same order."""
    data = load_iris()
    rows = [
        {**dict(zip(FEATURES, map(float, values), strict=True)), "species": str(data.target_names[target])}
        for values, target in zip(data.data, data.target, strict=True)
    ]
    return [rows[index] for index in np.random.default_rng(1).permutation(len(rows))]


def fleet(example: str) -> Fleet:
    """An example's documents."""
    return read_fleet(EXAMPLES / example / "fleet.yaml").fleet(blob_ref)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Tasks as processes; the requirements are installed once for all tests here."""
    data = tmp_path_factory.mktemp("bench")
    return Workbench(data, ProcessExecutor(data / "tasks", data / "environments", InstallSettings()))


@pytest.fixture
async def containers(tmp_path: Path) -> AsyncIterator[Workbench]:
    """Tasks in containers."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    install = InstallSettings(ca_bundle=CA_BUNDLE if CA_BUNDLE.exists() else None)
    executor = DockerExecutor("examples", IMAGE, tmp_path / "tasks", tmp_path / "environments", install)
    yield Workbench(tmp_path, executor)
    await executor.close()


async def train(bench: Workbench, example: str, rows: list[Row], earlier: Outputs | None = None) -> Outputs:
    """Run an example's job as its edge would; the earlier version's additional outputs are there at its start."""
    job = next(document for document in fleet(example).documents if isinstance(document, JobDocument))
    spec = bench.spec(
        {script.name: (EXAMPLES / example / script.path).read_text() for script in job.scripts},
        rows=[rows],
        requirements=(EXAMPLES / example / "requirements.txt").read_text(),
        additional=kept(bench, earlier) if earlier else {},
        metrics=tuple(metric.name for metric in job.metrics),
        limits=job.limits,
    )
    request = bench.request(spec)
    handle, _ = await bench.start(request)
    try:
        ended = await bench.executor.wait(handle)
        if ended is None or ended.exit_code != 0:
            raise TaskFailed("\n".join([line async for line in bench.executor.log_lines(handle, 0)]))
        return outputs.collect(request.folder, spec, bench.blobs)
    finally:
        await bench.executor.remove(handle)


def kept(bench: Workbench, version: Outputs) -> dict[str, bytes]:
    """The additional outputs of a version."""
    return {path: bench.blobs.read_bytes(ref.digest, 10_000_000) for path, ref in version.additional.items()}


def answers(bench: Workbench, version: Outputs) -> list[Any]:
    """The version's answer to each flower."""
    model = OnnxModel(bench.blobs.path(version.model.digest))
    given = model.run(np.array([[row[name] for name in FEATURES] for row in flowers()], dtype=np.float32))
    assert isinstance(given, list)
    return given


def share_right(answers: list[Any]) -> float:
    """How many of the flowers were named rightly."""
    return float(np.mean([answer == row["species"] for answer, row in zip(answers, flowers(), strict=True)]))


async def test_iris_goes_on_learning_from_new_rows_alone(bench: Workbench) -> None:
    """Two rounds, each with new rows only, give the answers that one round with all rows gives."""
    rows = flowers()
    first = await train(bench, "iris", rows[:24])
    second = await train(bench, "iris", rows[24:], first)
    at_once = await train(bench, "iris", rows)
    assert answers(bench, second) == answers(bench, at_once)
    assert share_right(answers(bench, second)) > 0.93
    assert second.metrics["accuracy"] > 0.85


async def test_iris_learns_a_species_that_comes_late(bench: Workbench) -> None:
    """A model that has seen setosa only is not confused by it when the others come."""
    setosa = [row for row in flowers() if row["species"] == "setosa"]
    others = [row for row in flowers() if row["species"] != "setosa"]
    first = await train(bench, "iris", setosa[:24])
    assert set(answers(bench, first)) == {"setosa"}
    second = await train(bench, "iris", others, first)
    assert share_right(answers(bench, second)) > 0.93


async def test_iris_tests_with_rows_it_never_learns(bench: Workbench) -> None:
    """The accuracy's rows travel from version to version, and more of the same rows change nothing of them."""
    rows = flowers()
    first = await train(bench, "iris", rows[:75])
    again = await train(bench, "iris", rows[:75], first)
    assert again.additional["test_rows.json"] == first.additional["test_rows.json"]
    test_rows = json.loads(kept(bench, first)["test_rows.json"])
    learnt = json.loads(kept(bench, first)["classifier.json"])
    assert test_rows
    assert sum(learnt["class_count_"]) == len([row for row in rows[:75] if row not in test_rows])


async def test_iris_refuses_too_few_rows(bench: Workbench) -> None:
    """With nothing to test with, the run fails and says that the rows stay new."""
    with pytest.raises(TaskFailed, match="too few rows to both learn and test; they stay new"):
        await train(bench, "iris", flowers()[:1])


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(900)
async def test_keras_goes_on_from_its_last_weights(containers: Workbench) -> None:
    """In a container without network, a network that learnt one species first names all three after the second run."""
    setosa = [row for row in flowers() if row["species"] == "setosa"]
    others = [row for row in flowers() if row["species"] != "setosa"]
    first = await train(containers, "iris-keras", setosa[:24])
    second = await train(containers, "iris-keras", others, first)
    exec_library = Library("pipelib_flower_scores", EXAMPLES / "iris-keras/pipelib_flower_scores.py").exec
    named = [exec_library({"in": {}, "predict": [scores]}) for scores in answers(containers, second)]
    assert share_right([answer["species"] for answer in named if isinstance(answer, dict)]) > 0.9


@pytest.mark.parametrize("example", ["iris", "iris-keras"])
def test_an_examples_pipelines_compile(example: str) -> None:
    """Every pipeline of an example is one that an edge would run."""
    pipelines = [document for document in fleet(example).documents if isinstance(document, PipelineDocument)]
    assert pipelines
    for pipeline in pipelines:
        graph.compile(pipeline, builtin_types())


def test_the_libraries_answer_with_the_reading_and_its_species() -> None:
    """Whatever else a reading holds, such as its id, is in the answer too."""
    reading = {"id": 7, "petal_width": 0.2}
    by_name = Library("pipelib_flower", EXAMPLES / "iris/pipelib_flower.py")
    assert by_name.exec({"in": reading, "predict": ["setosa"]}) == {**reading, "species": "setosa"}
    assert by_name.exec({"in": [reading], "predict": ["setosa"]}) == [{**reading, "species": "setosa"}]
    by_score = Library("pipelib_flower_scores", EXAMPLES / "iris-keras/pipelib_flower_scores.py")
    scored = by_score.exec({"in": reading, "predict": [[0.1, 0.7, 0.2]]})
    assert scored == {**reading, "species": "versicolor", "score": 0.7}


async def test_the_device_publishes_rows_of_the_collection(broker: BrokerAddress) -> None:
    """What the device sends has the collection's columns, and every flower is sent once."""
    async with connect(broker, "listener") as link, asyncio.timeout(60):
        received = await link.subscribe("factory/+/iris")
        device = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / "iris/device.py"), "--broker", broker.url),
            *("--count", "150", "--per-second", "10000"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        rows = [json.loads((await anext(received)).payload) for _ in range(150)]
        assert await device.wait() == 0
    ordered = [sorted(tuple(row.items()) for row in one) for one in (rows, flowers())]
    assert ordered[0] == ordered[1]
