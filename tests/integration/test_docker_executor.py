"""What holds for containers alone: how they are shut in, and how Docker's own failures are told."""

import asyncio
import subprocess
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from edge_agent.execution.docker_engine import DockerEngine
from edge_agent.execution.docker_options import container_name, free_gpus, task_options
from edge_agent.execution.executor import Environment, TaskKey, TaskRequest
from edge_agent.execution.images import availability
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.task_control import is_running
from schemas.errors import TaskFailed, Unreachable
from tests.conftest import free_port
from tests.integration.workbench import IMAGE, Workbench, limits, make_executor, workbench

pytestmark = pytest.mark.docker

SHUT_IN = """
import os, socket
def refused(what):
    try:
        what()
    except OSError:
        return True
print(os.getuid() != 0, os.getgid() != 0)
print(refused(lambda: open(os.environ["collection_data_1_path"], "w")))
print(refused(lambda: open(os.path.dirname(os.environ["collection_data_1_path"]) + "/new", "w")))
print(refused(lambda: open(os.environ["VIRTUAL_ENV"] + "/new", "w")), refused(lambda: open("/new", "w")))
print(refused(lambda: open("/var/tmp/new", "w")), refused(lambda: open("/run/lock/new", "w")))
print(refused(lambda: socket.create_connection(("192.0.2.1", 80), timeout=2)))
print(refused(lambda: socket.getaddrinfo("example.org", 80)), os.listdir("/sys/class/net"))
print([line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "NoNewPrivs"))])
"""


@pytest.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    """A workbench with containers alone."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    async with workbench("docker", tmp_path) as bench:
        yield bench


async def test_a_container_is_shut_in(docker_bench: Workbench) -> None:
    """In a container a script is not root, has no capability, no network, writes to its own alone (defect 17)."""
    request = docker_bench.request(
        docker_bench.spec({"look.py": SHUT_IN}, rows=[[{"x": 1}]], limits=limits(network="none"))
    )
    _, lines = await docker_bench.run(request)
    assert lines == [
        "True True",
        "True",
        "True",
        "True True",
        "True True",
        "True",
        "True ['lo']",
        "['0000000000000000', '1']",
    ]


LIMITED = """
import os, resource
room = os.statvfs("/tmp")
print(room.f_blocks * room.f_frsize >> 20, os.path.exists("/var/run/docker.sock"))
print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE))
try:
    with open("large", "wb") as file:
        file.truncate(1 << 30)
except OSError as error:
    print(error.strerror)
"""


async def test_every_limit_is_set(docker_bench: Workbench) -> None:
    """A container is given its processors, processes, memory, /tmp and largest file, and never Docker's own socket.

    (defect 17)
    """
    chosen = limits(cpus=0.5, pids=40, memory_mb=128, tmpfs_mb=8, output_mb=1, scratch_mb=2)
    request = docker_bench.request(docker_bench.spec({"look.py": LIMITED}, limits=chosen))
    handle, environment = await docker_bench.start(request)
    lines = [line async for line in docker_bench.executor.log_lines(handle, 0)]
    assert lines == ["8 False", "(0, 0) (4096, 4096)", "File too large"]
    engine = DockerEngine()
    found = await engine.container(handle.ref)
    await engine.close()
    assert found is not None
    host, mib = found["HostConfig"], 1024 * 1024
    assert (host["NanoCpus"], host["PidsLimit"], host["ShmSize"]) == (500_000_000, 40, 8 * mib)
    assert (host["Memory"], host["MemorySwap"]) == (128 * mib, 128 * mib)
    assert found["Image"] == environment.image_digest


async def test_without_a_memory_limit_some_is_left_for_the_agent(docker_bench: Workbench) -> None:
    """A job that sets no limit still cannot take all of the machine's memory."""
    request = docker_bench.request(docker_bench.spec({"look.py": "pass"}))
    environment = await docker_bench.executor.prepare(request, lambda _note: None)
    most_mb = int(task_options(request, environment, InstallSettings())["mem_limit"].removesuffix("m"))
    total_mb = psutil.virtual_memory().total // 1024**2
    assert total_mb // 2 <= most_mb < total_mb


async def test_gpus_that_an_edge_has_not_are_told(docker_bench: Workbench) -> None:
    """A job that asks for more GPUs than there are fails with the numbers, before anything is installed."""
    request = docker_bench.request(docker_bench.spec({"use.py": "pass"}, limits=limits(gpus=64)))
    with pytest.raises(TaskFailed, match=r"asks for 64 GPUs \(limits.gpus\), this edge has \d+"):
        await docker_bench.executor.prepare(request, lambda _note: None)


def test_each_task_gets_gpus_of_its_own(tmp_path: Path) -> None:
    """What other tasks have is not given away twice; a task's container is given exactly those chosen for it."""
    assert free_gpus(2, 4, {0, 2}) == [1, 3]
    assert free_gpus(2, 4, {0, 2, 3}) is None
    assert free_gpus(0, 0, {0}) == []
    request = TaskRequest(TaskKey(uuid4(), 1), tmp_path, (), {}, {}, limits(gpus=2))
    options = task_options(request, Environment("key", tmp_path, cached=True), InstallSettings(), [1, 3])
    assert options["device_requests"] == [{"device_ids": ["1", "3"], "capabilities": [["gpu"]]}]


async def test_secrets_can_be_read_alone(docker_bench: Workbench) -> None:
    """The folder of secrets is in a container at its fixed place, and nothing can be written there."""
    folder = docker_bench.data / "secrets"
    folder.mkdir()
    (folder / "secrets.json").write_text('{"variables": {}, "files": {}}')
    folder.chmod(0o755)
    docker_bench.data.chmod(0o755)
    look = (
        "import os\nprint(os.listdir('/run/tidemill-secrets'))\n"
        "try: open('/run/tidemill-secrets/new', 'w')\nexcept OSError as error: print(error.strerror)"
    )
    request = docker_bench.request(docker_bench.spec({"look.py": look}))
    _, lines = await docker_bench.run(replace(request, secrets=folder))
    assert lines == ["['secrets.json']", "Read-only file system"]


async def test_too_much_memory_is_told(docker_bench: Workbench) -> None:
    """A script that passes its memory limit is ended, and the result says that this was why."""
    request = docker_bench.request(docker_bench.spec({"big.py": "x = b'x' * (1 << 30)"}, limits=limits(memory_mb=64)))
    result, _ = await docker_bench.run(request)
    assert result is not None
    assert (result.exit_code, result.script, result.passed) == (137, "big.py", "memory_mb")


FORK_BOMB = """
import os, signal
count = 0
try:
    while True:
        if os.fork() == 0:
            signal.pause()
        count += 1
except BlockingIOError:
    print(count < 30)
"""


async def test_a_fork_bomb_is_bounded(docker_bench: Workbench) -> None:
    """A script cannot have more processes than its limit."""
    request = docker_bench.request(docker_bench.spec({"bomb.py": FORK_BOMB}, limits=limits(pids=30)))
    async with asyncio.timeout(30):
        _, lines = await docker_bench.run(request)
    assert lines == ["True"]


FORGE = """
import os
control = os.path.dirname(os.environ["model_file_path"]) + "/../control"
for name in ("log", "claim"):
    os.remove(f"{control}/{name}")
os.symlink("/etc/hostname", f"{control}/log")
os.mkfifo(f"{control}/claim")
exit(4)
"""


async def test_a_forged_control_folder_is_not_trusted(docker_bench: Workbench) -> None:
    """A link in place of the log is not followed, a pipe in place of the claim is not waited for."""
    request = docker_bench.request(docker_bench.spec({"forge.py": FORGE}))
    handle, _ = await docker_bench.start(request)
    async with asyncio.timeout(30):
        result = await docker_bench.executor.wait(handle)
        assert [line async for line in docker_bench.executor.log_lines(handle, 0)] == []
    assert result is not None
    assert result.exit_code == 4
    assert not is_running(request.folder / "control")


async def test_a_container_removed_by_hand_is_told(docker_bench: Workbench) -> None:
    """A task whose container somebody removed has no exit code, and its log ends."""
    request = docker_bench.request(docker_bench.spec({"wait.py": "print('here'); import time; time.sleep(600)"}))
    handle, _ = await docker_bench.start(request)
    log = docker_bench.executor.log_lines(handle, 0)
    async with asyncio.timeout(30):
        assert await anext(log) == "here"
        await asyncio.to_thread(subprocess.run, ["docker", "rm", "-f", handle.ref], check=True, capture_output=True)
        assert [line async for line in log] == []
        assert await docker_bench.executor.wait(handle) is None


async def test_a_missing_image_is_named(docker_bench: Workbench) -> None:
    """An image that is not here and cannot be pulled fails the task; the message says which and what to do."""
    spec = docker_bench.spec({"use.py": "pass"}).model_copy(update={"image": "localhost:9/no/such:1"})
    with pytest.raises(TaskFailed, match=r"localhost:9/no/such:1 is not on this machine .*docker pull"):
        await docker_bench.executor.prepare(docker_bench.request(spec), lambda _note: None)
    assert "localhost:9/no/such:1" in (await availability("localhost:9/no/such:1") or "")


async def test_no_daemon_is_something_that_passes(docker_bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Docker is away every call says so, as something to try again."""
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    away = make_executor("docker", docker_bench.data)
    request = docker_bench.request(docker_bench.spec({"use.py": "pass"}))
    for call in (away.all(), away.find(request.key), away.prepare(request, lambda _note: None)):
        with pytest.raises(Unreachable, match="Docker does not answer"):
            await call
    await away.close()


async def test_a_start_that_was_cut_off_never_takes_place(docker_bench: Workbench) -> None:
    """A container that a killed agent created and did not start is no task, and is gone once it was looked for."""
    request = docker_bench.request(docker_bench.spec({"late.py": "pass"}))
    environment = await docker_bench.executor.prepare(request, lambda _note: None)
    engine = DockerEngine()
    await engine.create(task_options(request, environment, InstallSettings()))
    assert await docker_bench.executor.find(request.key) is None
    assert await engine.container(container_name(request.key)) is None
    await engine.close()


class _FailingDaemon(BaseHTTPRequestHandler):
    """Docker on its way down: it tells its version, and fails at everything else."""

    def do_GET(self) -> None:
        there = self.path.endswith("/version")
        body = b'{"ApiVersion": "1.41"}' if there else b'{"message": "the daemon is shutting down"}'
        self.send_response(200 if there else 500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_a_look_that_docker_fails_at_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that answers with an error of its own says nothing of the task, which is not lost by that."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _FailingDaemon) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        engine = DockerEngine()
        try:
            with pytest.raises(Unreachable, match="Docker cannot tell: the daemon is shutting down"):
                await engine.container("tidemill-task")
            with pytest.raises(Unreachable, match="Docker cannot tell: the daemon is shutting down"):
                await engine.containers({})
        finally:
            await engine.close()
            server.shutdown()
            serving.join()
