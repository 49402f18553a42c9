"""Where the agent keeps things on this machine, and the lock that makes it the only agent there."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Conflict


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The layout of ``data_dir``."""

    root: Path

    @property
    def journal(self) -> Path:
        """What must survive a crash."""
        return self.root / "journal.sqlite"

    @property
    def blobs(self) -> Path:
        """Bytes by digest."""
        return self.root / "blobs"

    @property
    def tasks(self) -> Path:
        """One folder for each attempt while it is worked on."""
        return self.root / "tasks"

    @property
    def environments(self) -> Path:
        """Installed requirements, shared by tasks."""
        return self.root / "environments"

    @property
    def models(self) -> Path:
        """``<name>/<version>/model.onnx`` of every wanted model."""
        return self.root / "models"

    @property
    def libraries(self) -> Path:
        """``<digest>/<name>.py`` of every wanted library."""
        return self.root / "libraries"


@contextmanager
def own_data_folder(root: Path) -> Iterator[DataFolder]:
    """Make the folder if need be, and keep other agents out of it while the context lasts.

    Raises:
        Conflict: another agent uses it.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(root / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise Conflict(f"another agent (pid {owner}) uses {root}; give each agent a data_dir of its own") from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield DataFolder(root)
    finally:
        os.close(lock)
