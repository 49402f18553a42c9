"""What an executor does for the agent: make an environment, start scripts, watch, stop and find them again.

Called by ``tasks/task_life.py``, in this order:

    prepare ─▶ start ─▶ wait ─▶ remove
                 └ find, when the agent was killed between start and noting the handle

Any call may raise ``Unreachable`` (Docker does not answer): back off and call again.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from schemas.jobs import Limits
from schemas.names import BlobDigest


@dataclass(frozen=True, slots=True)
class TaskKey:
    """One attempt of one run: what containers, folders and processes are named after."""

    run_id: UUID
    attempt: int

    def __str__(self) -> str:
        return f"{self.run_id}-{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> "TaskKey | None":
        """The key that reads ``text``, or None if there is none."""
        run_id, _, attempt = text.rpartition("-")
        try:
            key = cls(UUID(run_id), int(attempt))
        except ValueError:
            return None
        return key if str(key) == text else None


@dataclass(frozen=True, slots=True)
class Environment:
    """A cached place with the requirements installed, shared by all tasks that need the same."""

    key: str  # of executor, image digest, requirements and platform
    path: Path  # of the virtual environment on this machine
    cached: bool  # it was there already
    image: str = ""
    image_digest: str = ""
    installer: str = ""  # uv or pip, when the requirements were installed for this task


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What to start."""

    key: TaskKey
    folder: Path  # the attempt's own: input/ is read, output/ is collected
    scripts: tuple[str, ...]  # names in input/scripts/, in order
    variables: dict[str, str]  # of the job contract, as they are
    paths: dict[str, str]  # of the job contract: places below the folder, such as output/model.onnx
    limits: Limits
    image: str | None = None
    requirements: Path | None = None
    requirements_digest: BlobDigest | None = None
    edge_folder: Path | None = None  # of this machine, and allowed by its agent; read-only in containers
    secrets: Path | None = None  # a folder of this machine with the values of the job's secrets

    def contract(self, root: str) -> dict[str, str]:
        """The job contract's variables for scripts that see the folder at ``root``."""
        return self.variables | {name: f"{root}/{place}" for name, place in self.paths.items()}


class NeedsEnvironment(Protocol):
    """Whoever wants an environment: a task, or a pipeline for its libraries."""

    @property
    def folder(self) -> Path:
        """The environment is kept for as long as this is there."""

    @property
    def requirements(self) -> Path | None:
        """The file that says what is to be installed."""

    @property
    def requirements_digest(self) -> BlobDigest | None:
        """Of that file."""


@dataclass(frozen=True, slots=True)
class TaskHandle:
    """Where a started task is; kept in the journal, so that a restarted agent can find it."""

    key: TaskKey
    ref: str  # container id or process id, for people; the key is what finds it again


@dataclass(frozen=True, slots=True)
class ExitResult:
    """How the scripts ended."""

    exit_code: int
    script: str  # the one that ended last
    script_s: float  # wall time of all scripts
    passed: str = ""  # the limit because of which it was ended: memory_mb, pids, output_mb …
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None


class Executor(Protocol):
    """Runs tasks on this machine. Every method is idempotent."""

    name: str

    async def prepare(self, request: TaskRequest, note: Callable[[str], None]) -> Environment:
        """Make the environment or find it in the cache. Raises TaskFailed with the installer's last lines."""

    async def start(self, request: TaskRequest, environment: Environment) -> TaskHandle:
        """Start the scripts; a task that was started already is returned, not started again."""

    async def wait(self, handle: TaskHandle) -> ExitResult | None:
        """Wait until the scripts have ended by themselves.

        None if they did not: stopped, killed or removed by somebody, or the machine was restarted.
        """

    def log_lines(self, handle: TaskHandle, skip: int) -> AsyncIterator[str]:
        """The log's lines after the first ``skip``, as they come; ends when the task has ended."""

    async def stop(self, handle: TaskHandle, *, grace_s: float) -> None:
        """Ask the scripts to end, and kill them after ``grace_s``; returns when nothing of them runs."""

    async def find(self, key: TaskKey) -> TaskHandle | None:
        """The task if it was ever started and not removed, running or ended.

        None is for good: a start that was cut off when an agent was killed does not take place later.
        """

    async def all(self) -> list[TaskHandle]:
        """Every task of this agent that is still there, so that unwanted ones can be ended."""

    async def remove(self, handle: TaskHandle) -> None:
        """Forget an ended task: its container, its process records. The folder stays."""

    async def close(self) -> None:
        """Let go of connections; tasks go on."""
