"""What libraries require: declared, told to edges, installed, imported, changed, and kept while it is used."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.rollouts.contents import wanted_pipeline
from controller.stores.database import open_database
from controller.stores.serving import add_library, add_pipeline
from edge_agent.execution.environment_place import Place
from edge_agent.shelf.library_trial import try_libraries
from edge_agent.worker.worker_protocol import Load
from schemas.broker import BrokerAddress
from schemas.errors import BadInput
from schemas.fleet import LibrarySpec
from schemas.manifest import WantedPipeline
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec
from schemas.report import PipelineState, PipelineStatus, Report
from tests.integration.agent_process import AgentProcess, until
from tests.integration.scripted_controller import ScriptedController
from tests.integration.test_agent_deployments import answer, serves
from tests.integration.workbench import tiny_wheel

SPEC = PipelineSpec.model_validate(
    {
        "name": "measuring",
        "nodes": [
            {"id": "in", "type": "mqtt_sub", "topic": "in"},
            {"id": "depth", "type": "library", "library": "pipelib_depth", "inputs": ["in"]},
            {"id": "out", "type": "mqtt_pub", "topic": "out", "inputs": ["depth"]},
        ],
    }
)
TELLS_DEPTH = b"import tidepool\ndef exec(value):\n    return tidepool.DEPTH\n"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """The only place that this test's agents install from; empty."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def agent(broker: BrokerAddress, scripted: ScriptedController, tmp_path: Path, wheels: Path) -> Iterator[AgentProcess]:
    """A running agent with a wheelhouse and no package index."""
    folder = tmp_path / "edge"
    folder.mkdir()
    install = f'{{wheelhouse = "{wheels}", pip_args = ["--no-index"]}}'
    with AgentProcess.running(folder, broker, scripted.key.public_key, install=install) as running:
        yield running


def measuring(
    scripted: ScriptedController, version: int, *requirements: str, source: bytes = TELLS_DEPTH
) -> WantedPipeline:
    """A pipeline whose library requires these."""
    return WantedPipeline(
        name="measuring",
        version=version,
        spec=scripted.blobs.put_bytes(SPEC.model_dump_json().encode()),
        libraries={"pipelib_depth": scripted.blobs.put_bytes(source)},
        requirements={"pipelib_depth": requirements} if requirements else {},
    )


def tells(report: Report, *words: str) -> bool:
    """Whether the one pipeline's reason has all of these in it."""
    return bool(report.pipelines) and all(word in report.pipelines[0].reason for word in words)


async def test_requirements_are_installed_before_a_version_takes_over(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress, wheels: Path
) -> None:
    """What cannot be installed or imported is told and changes nothing; what can is there with the new version."""
    await scripted.want(pipelines=(measuring(scripted, 1, "tidepool==1.0"),))
    report = await scripted.report(lambda report: tells(report, "the requirements cannot be installed", "tidepool"))
    assert report.pipelines[0].state in {PipelineState.STARTING, PipelineState.FAILED}  # it is tried again and again
    tiny_wheel(wheels, "1.0", 7)
    await scripted.report(lambda report: serves(report.pipelines, 1))
    assert await answer(broker, b"1") == b"7"

    tiny_wheel(wheels, "2.0", 8)
    await scripted.want(pipelines=(measuring(scripted, 2, "tidepool==2.0"),))
    report = await scripted.report(lambda report: serves(report.pipelines, 2))
    assert await answer(broker, b"1") == b"8"  # in a new process: one that had imported 1.0 would keep to it
    assert report.pipelines[0].restarts == 0

    broken = measuring(scripted, 3, "tidepool==1.0", source=b"import whirlpool\ndef exec(value): ...\n")
    await scripted.want(pipelines=(broken,))
    await scripted.report(lambda report: tells(report, "version 3: ", "No module named 'whirlpool'"))
    assert await answer(broker, b"1") == b"8"

    await scripted.want(pipelines=(measuring(scripted, 4, source=b"def exec(value): return value\n"),))
    await scripted.report(lambda report: serves(report.pipelines, 4))
    assert await answer(broker, b"1") == b"1"
    await scripted.want()
    await until(lambda: not list((agent.data_dir / "libraries").glob("requirements-*")))


async def test_what_is_installed_serves_after_a_restart_without_anything_to_install_from(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress, wheels: Path
) -> None:
    """The environment is kept while its pipeline is wanted or served, also while a next version is waited for."""
    tiny_wheel(wheels)
    requirements = scripted.blobs.put_bytes(b"tidepool # of a file\n")
    first = measuring(scripted, 1).model_copy(update={"requirements": {"pipelib_depth": requirements}})
    await scripted.want(pipelines=(first,))
    await scripted.report(lambda report: serves(report.pipelines, 1))
    (wheels / "tidepool-1.0-py3-none-any.whl").unlink()
    await scripted.want(pipelines=(measuring(scripted, 2, "tidepool==3.0"),))
    await scripted.report(
        lambda report: tells(report, "version 2: ", "cannot be installed") and goes_on(report.pipelines, 1)
    )
    assert await answer(broker, b"1") == b"7"
    agent.kill()
    agent.start()
    session = scripted.reports[-1].session_id
    await scripted.report(lambda report: report.session_id != session and goes_on(report.pipelines, 1))
    assert await answer(broker, b"1") == b"7"


def goes_on(pipelines: tuple[PipelineStatus, ...], number: int) -> bool:
    """Whether the one pipeline takes messages with this version, though another is wanted."""
    taking = {PipelineState.LISTENING, PipelineState.DEGRADED}
    return [status.version for status in pipelines if status.state in taking] == [number]


def test_an_environment_is_used_while_its_users_folder_is_there(tmp_path: Path) -> None:
    """Those of pipelines and those of tasks, also of tasks that an earlier agent noted by an empty file."""
    place = Place(tmp_path / "environments/e")
    tasks, pipeline = tmp_path / "tasks", tmp_path / "libraries/requirements-1"
    attempt = tasks / "3f2b6c1e-0000-4000-8000-000000000001-1"
    for folder in (place.folder, attempt, pipeline):
        folder.mkdir(parents=True)
    (place.folder / "uses").mkdir()
    (place.folder / "uses" / attempt.name).touch()
    place.give_to(pipeline)
    place.give_to(pipeline)
    for folder in (attempt, pipeline):
        assert place.is_used(tasks)
        folder.rmdir()
    assert not place.is_used(tasks)
    assert list((place.folder / "uses").iterdir()) == []


async def test_what_loading_libraries_does_to_a_process_is_told(tmp_path: Path) -> None:
    """One that is printed to, ended or held up by a library gives a reason in words."""
    sources = {
        "print('hello')\ndef exec(value): ...\n": "",
        "import nowhere": r"pipelib_x cannot be loaded: ModuleNotFoundError: No module named 'nowhere' \(line 1\)",
        "import os\nos._exit(7)": "loading its libraries ended a process with code 7",
        "import threading\nthreading.Event().wait()": r"its libraries were not loaded within 0\.5 s",
    }
    path = tmp_path / "pipelib_x.py"
    for source, reason in sources.items():
        path.write_text(source)
        order = Load(version=1, spec=SPEC, libraries={"pipelib_x": path})
        if reason:
            with pytest.raises(BadInput, match=reason):
                await try_libraries(order, 0.5 if "wait" in source else 60)
        else:
            await try_libraries(order)


@pytest.mark.parametrize("written", [["tidepool==1.0", "numpy"], "file", None])
def test_a_manifest_names_what_libraries_require(tmp_path: Path, written: object) -> None:
    """Lines as they are, a file by its digest, and nothing where nothing is required; old agents read the rest."""
    now, file = datetime.now(UTC), BlobRef(digest=f"sha256:{'1' * 64}", size_bytes=9)
    named = {"path": "x", "blob": file.model_dump()}
    library = LibrarySpec.model_validate(
        {"name": "pipelib_depth", "file": named, "requirements": named if written == "file" else written}
    )
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    with database.transaction() as session:
        add_library(session, spec=library, now=now)
        add_pipeline(session, spec=SPEC, blob=file, now=now)
        wanted = wanted_pipeline(session, "measuring")
    database.close()
    expected = {"file": file, "None": None}.get(str(written), ("tidepool==1.0", "numpy"))
    assert wanted.requirements == ({"pipelib_depth": expected} if expected else {})
    told = json.loads(wanted.model_dump_json())
    assert WantedPipeline.model_validate(told) == wanted
    del told["requirements"]  # as an old controller tells it
    assert WantedPipeline.model_validate(told) == wanted.model_copy(update={"requirements": {}})
