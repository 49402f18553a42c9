"""The examples do what they promise: their scripts in the job contract, their pipelines and their device."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sklearn.datasets import load_iris

from edge_agent import outputs, task_folder
from edge_agent.environments import InstallSettings
from edge_agent.executor import Executor, TaskKey
from edge_agent.process_executor import ProcessExecutor
from pipeline_runtime import graph
from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.library_module import Library
from pipeline_runtime.onnx_model import OnnxModel
from schemas.broker import BrokerAddress
from schemas.errors import TaskFailed
from schemas.fleet import Fleet, JobDocument, PipelineDocument
from schemas.jobs import TaskData, TaskScript, TaskSpec
from schemas.names import FileTree
from schemas.runs import Outputs
from tidemill.client import blob_ref
from tidemill.fleet_files import read_fleet
from transport.blob_store import BlobDirectory
from transport.mqtt import connect

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
    return read_fleet(EXAMPLES / example / "fleet.yaml", blob_ref)


@dataclass
class Workshop:
    """Runs an example's job as its edge would."""

    executor: Executor
    blobs: BlobDirectory
    tasks: Path

    async def train(self, example: str, rows: list[Row], earlier: Outputs | None = None) -> Outputs:
        """One run; the earlier version's additional outputs are there at its start."""
        spec = self._spec(example, rows, earlier.additional if earlier else {})
        request = task_folder.create(self.tasks, TaskKey(spec.run_id, 1), spec, self.blobs)
        environment = await self.executor.prepare(request, lambda _note: None)
        handle = await self.executor.start(request, environment)
        try:
            ended = await self.executor.wait(handle)
            log = [line async for line in self.executor.log_lines(handle, 0)]
            if ended is None or ended.exit_code != 0:
                raise TaskFailed("\n".join(log))
            return outputs.collect(request.folder, spec, self.blobs)
        finally:
            await self.executor.remove(handle)

    def _spec(self, example: str, rows: list[Row], additional: FileTree) -> TaskSpec:
        job = next(document for document in fleet(example).documents if isinstance(document, JobDocument))
        folder = EXAMPLES / example
        data = self.blobs.put_bytes(json.dumps(rows).encode())
        return TaskSpec(
            run_id=uuid4(),
            job=job.name,
            scripts=tuple(
                TaskScript(name=script.name, blob=self.blobs.put_file(folder / script.path)) for script in job.scripts
            ),
            requirements=self.blobs.put_file(folder / job.requirements.path) if job.requirements else None,
            data=(TaskData(index=1, blob=data, rows=len(rows)),),
            additional=additional,
            metrics=tuple(metric.name for metric in job.metrics),
            limits=job.limits,
        )

    def answers(self, trained: Outputs) -> list[Any]:
        """The model's answer to each flower."""
        model = OnnxModel(self.blobs.path(trained.model.digest))
        given = model.run(np.array([[row[name] for name in FEATURES] for row in flowers()], dtype=np.float32))
        assert isinstance(given, list)
        return given


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Tasks as processes; the requirements are installed once for all tests here."""
    root = tmp_path_factory.mktemp("workshop")
    executor = ProcessExecutor(root / "tasks", root / "environments", InstallSettings())
    yield Workshop(executor, BlobDirectory(root / "blobs"), root / "tasks")
    for key in task_folder.keys(root / "tasks"):
        task_folder.wipe(task_folder.folder_of(root / "tasks", key))


def share_right(answers: list[Any]) -> float:
    """How many of the flowers were named rightly."""
    return float(np.mean([answer == row["species"] for answer, row in zip(answers, flowers(), strict=True)]))


async def test_iris_goes_on_learning_from_new_rows_alone(workshop: Workshop) -> None:
    """Two rounds, each with new rows only, give the answers that one round with all rows gives."""
    rows = flowers()
    first = await workshop.train("iris", rows[:24])
    second = await workshop.train("iris", rows[24:], first)
    at_once = await workshop.train("iris", rows)
    assert workshop.answers(second) == workshop.answers(at_once)
    assert share_right(workshop.answers(second)) > 0.93
    assert second.metrics["accuracy"] > 0.85


async def test_iris_learns_a_species_that_comes_late(workshop: Workshop) -> None:
    """A model that has seen setosa only is not confused by it when the others come."""
    setosa = [row for row in flowers() if row["species"] == "setosa"]
    others = [row for row in flowers() if row["species"] != "setosa"]
    first = await workshop.train("iris", setosa[:24])
    assert set(workshop.answers(first)) == {"setosa"}
    second = await workshop.train("iris", others, first)
    assert share_right(workshop.answers(second)) > 0.93


async def test_iris_tests_with_rows_it_never_learns(workshop: Workshop) -> None:
    """The accuracy's rows travel from version to version, and more of the same rows change nothing of them."""
    rows = flowers()
    first = await workshop.train("iris", rows[:75])
    again = await workshop.train("iris", rows[:75], first)
    assert again.additional["test_rows.json"] == first.additional["test_rows.json"]
    kept = json.loads(workshop.blobs.read_bytes(first.additional["test_rows.json"].digest, 1_000_000))
    learnt = json.loads(workshop.blobs.read_bytes(first.additional["classifier.json"].digest, 1_000_000))
    assert kept
    assert sum(learnt["class_count_"]) == 75 - len([row for row in rows[:75] if row in kept])


async def test_iris_refuses_too_few_rows(workshop: Workshop) -> None:
    """With nothing to test with, the run fails and says that the rows stay new."""
    with pytest.raises(TaskFailed, match="too few rows to both learn and test; they stay new"):
        await workshop.train("iris", flowers()[:1])


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
