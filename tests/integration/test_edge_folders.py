"""Data that stays on its edge: which folders a job may read there, and how its scripts see them."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.execution.edge_folders import allowed_folder
from edge_agent.execution.images import availability
from schemas.broker import BrokerAddress
from schemas.errors import TaskFailed
from schemas.runs import Exited, Outcome
from tests.integration.agent_process import AgentProcess
from tests.integration.scripted_controller import MODEL, ScriptedController
from tests.integration.workbench import IMAGE, Workbench, workbench

LOOK = """
import os
folder = os.environ["edge_folder_path"]
def attempt(what):
    try:
        return what()
    except OSError as error:
        return type(error).__name__
print(open(folder + "/rows.csv").read(), folder)
print(attempt(lambda: open(folder + "/new", "w")), attempt(lambda: open(folder + "/outside/secret").read()))
print(attempt(lambda: os.listdir(folder + "/disk")))
"""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """An allowed folder with a file, and a link that leads out of it."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/secret").write_text("canary")
    raw = tmp_path / "raw"
    (raw / "press").mkdir(parents=True)
    (raw / "press/rows.csv").write_text("1,2")
    (raw / "press/outside").symlink_to(tmp_path / "secrets")
    (raw / "out").symlink_to(tmp_path / "secrets")
    return raw


def test_only_what_the_configuration_names_is_allowed(raw: Path) -> None:
    """A folder below an allowed one is fine; one beside it, a way out of it or a link out of it names the setting."""
    assert allowed_folder(f"{raw}/press", [raw]) == raw / "press"
    assert allowed_folder(f"{raw}/../raw/press/", [raw]) == raw / "press"
    (raw.parent / "raw2").mkdir()
    for wanted in (f"{raw}2", f"{raw}/../secrets", f"{raw}/out", "/", f"{raw.parent}/no-such"):
        with pytest.raises(TaskFailed, match=r"does not allow that: name the folder.* in `folders` of the agent"):
            allowed_folder(wanted, [raw])
    with pytest.raises(TaskFailed, match="does not allow that"):
        allowed_folder(str(raw), [])
    for wanted in ("no-such", "press/rows.csv"):
        with pytest.raises(TaskFailed, match="there is no such folder on this edge"):
            allowed_folder(f"{raw}/{wanted}", [raw])


@pytest.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench with containers alone."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    async with workbench("docker", tmp_path) as bench:
        yield bench


@pytest.fixture
def disk_below(raw: Path) -> Iterator[None]:
    """Another file system, mounted below the folder."""
    (raw / "press/disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(raw / "press/disk")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount")
    (raw / "press/disk/file").touch()
    yield
    subprocess.run(["umount", str(raw / "press/disk")], check=True)


@pytest.mark.docker
@pytest.mark.usefixtures("disk_below")
async def test_a_container_reads_the_folder_and_nothing_beyond(docker_bench: Workbench, raw: Path) -> None:
    """In a container the folder is there and read-only, without what links or mounts in it lead to."""
    for parent in (raw, raw / "press", raw.parent, raw.parent / "secrets"):
        parent.chmod(0o777)
    request = docker_bench.request(docker_bench.spec({"look.py": LOOK}))
    _, lines = await docker_bench.run(replace(request, edge_folder=raw / "press"))
    assert lines == ["1,2 /data/edge", "OSError FileNotFoundError", "[]"]


async def test_a_process_is_told_where_the_folder_is(tmp_path: Path, raw: Path) -> None:
    """Without a container the variable names the real folder, and the preparation says that it is not protected."""
    async with workbench("process", tmp_path) as bench:
        script = "import os; print(open(os.environ['edge_folder_path'] + '/rows.csv').read())"
        request, notes = bench.request(bench.spec({"look.py": script})), list[str]()
        request = replace(request, edge_folder=raw / "press")
        await bench.executor.prepare(request, notes.append)
        assert notes[0].startswith(f"a process of this machine can write to {raw}/press too")
        _, lines = await bench.run(request)
    assert lines == ["1,2"]


async def test_an_agent_keeps_to_its_configuration(
    scripted: ScriptedController, broker: BrokerAddress, raw: Path, tmp_path: Path
) -> None:
    """A job gets an allowed folder; one that asks for another fails before anything is fetched, and is told why."""
    (tmp_path / "edge").mkdir()
    script = f"import os; print(os.listdir(os.environ['edge_folder_path']))\n{MODEL}"
    with AgentProcess.running(tmp_path / "edge", broker, scripted.key.public_key, folders=f'["{raw}"]'):
        for folder, outcome in ((raw / "press", Outcome.OK), (tmp_path / "secrets", Outcome.PREPARE_FAILED)):
            run = scripted.run(script, edge_folder=str(folder))
            await scripted.want(run)
            exited = await scripted.event(run, Exited)
            assert exited.outcome is outcome, exited.reason
        assert "`folders` of the agent's configuration" in exited.reason
