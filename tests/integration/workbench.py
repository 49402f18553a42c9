"""What tests of executors need: task specs from texts, a wheel to install, and the executors themselves."""

import json
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from edge_agent.execution import task_folder
from edge_agent.execution.docker_executor import DockerExecutor
from edge_agent.execution.executor import Environment, Executor, ExitResult, TaskHandle, TaskKey, TaskRequest
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.process_executor import ProcessExecutor
from schemas.jobs import Limits
from schemas.tasks import TaskData, TaskScript, TaskSpec
from transport.blob_store import BlobDirectory

IMAGE = "tidemill-training:bookworm"
WRITE_MODEL = "import os; open(os.environ['model_file_path'], 'wb').write(b'onnx')\n"


def make_executor(kind: str, data: Path, install: InstallSettings | None = None) -> Executor:
    """The executor of an agent whose data is there; it installs from ``data/wheels`` alone."""
    install = install or InstallSettings(wheelhouse=data / "wheels", pip_args=("--no-index",))
    if kind == "docker":
        return DockerExecutor("workbench", IMAGE, data / "tasks", data / "environments", install)
    return ProcessExecutor(data / "tasks", data / "environments", install)


@dataclass
class Workbench:
    """One agent's data folder and the executor that works on it."""

    data: Path
    executor: Executor

    @property
    def blobs(self) -> BlobDirectory:
        """The agent's blobs."""
        return BlobDirectory(self.data / "blobs")

    def spec(
        self,
        scripts: Mapping[str, str],
        *,
        rows: Sequence[object] = (),
        requirements: str | None = None,
        additional: Mapping[str, bytes] | None = None,
        metrics: tuple[str, ...] = (),
        **rest: object,
    ) -> TaskSpec:
        """A task that runs these texts."""
        put = self.blobs.put_bytes
        written = TaskSpec(
            run_id=uuid4(),
            job="iris",
            scripts=tuple(TaskScript(name=name, blob=put(text.encode())) for name, text in scripts.items()),
            data=tuple(
                TaskData(index=index, blob=put(json.dumps(data).encode()), rows=1) for index, data in enumerate(rows, 1)
            ),
            requirements=put(requirements.encode()) if requirements is not None else None,
            additional={path: put(data) for path, data in (additional or {}).items()},
            metrics=metrics,
            limits=limits(),
        )
        return written.model_copy(update=rest)

    def request(self, spec: TaskSpec, attempt: int = 1) -> TaskRequest:
        """The spec's folder, made."""
        return task_folder.create(self.data / "tasks", TaskKey(spec.run_id, attempt), spec, self.blobs)

    async def start(self, request: TaskRequest) -> tuple[TaskHandle, Environment]:
        """Prepare and start."""
        environment = await self.executor.prepare(request, lambda _note: None)
        return await self.executor.start(request, environment), environment

    async def run(self, request: TaskRequest) -> tuple[ExitResult | None, list[str]]:
        """Prepare, start and wait; how it ended, and its log."""
        handle, _ = await self.start(request)
        lines = [line async for line in self.executor.log_lines(handle, 0)]
        return await self.executor.wait(handle), lines


@asynccontextmanager
async def workbench(kind: str, data: Path, install: InstallSettings | None = None) -> AsyncIterator[Workbench]:
    """A workbench; whatever a test leaves running on it is ended."""
    tiny_wheel(data / "wheels")
    executor = make_executor(kind, data, install)
    try:
        yield Workbench(data, executor)
    finally:
        for handle in await executor.all():
            await executor.stop(handle, grace_s=0)
            await executor.remove(handle)
        await executor.close()


def tiny_wheel(wheels: Path, version: str = "1.0", depth: int = 7) -> None:
    """Put a package ``tidepool`` into a folder of wheels, so that installing needs no network."""
    wheels.mkdir(parents=True, exist_ok=True)
    info = f"tidepool-{version}.dist-info"
    with zipfile.ZipFile(wheels / f"tidepool-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tidepool.py", f"DEPTH = {depth}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tidepool\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"tidepool.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def limits(**chosen: object) -> Limits:
    """Limits for a test; with a network, so that the log of a process does not begin with why it has one."""
    return Limits.model_validate({"timeout_s": 60, "network": "allow", **chosen})
