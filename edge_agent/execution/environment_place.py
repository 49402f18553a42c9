"""One environment's place in the cache, and the marks that tell a whole one from half of one.

<environments>/<key>/
    lock       held while somebody installs, by the installing program too
    order/     installer.py and requirements.txt; read-only for the installer
    log/       what pip said
    venv/      the environment; made in place, because it cannot be moved
    complete   is there once the environment is; a place without it is cleared and filled again
"""

import hashlib
import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from edge_agent.execution import installer
from edge_agent.execution.executor import TaskRequest
from edge_agent.execution.task_folder import wipe


@dataclass(frozen=True, slots=True)
class Place:
    """Where one environment is, or is being made."""

    folder: Path

    @property
    def venv(self) -> Path:
        """The environment itself."""
        return self.folder / "venv"

    @property
    def order(self) -> Path:
        """What the installer reads."""
        return self.folder / "order"

    @property
    def log(self) -> Path:
        """The folder that the installer's log is in."""
        return self.folder / "log"

    @property
    def lock(self) -> Path:
        """Locked while somebody installs."""
        return self.folder / "lock"

    @property
    def complete(self) -> Path:
        """The mark of a whole environment; its time is that of the last use."""
        return self.folder / "complete"

    def clear(self, requirements: Path | None) -> None:
        """Make it ready for an installer: nothing of an interrupted one is left."""
        for folder in (self.venv, self.log, self.order):
            wipe(folder)
            folder.mkdir()
            folder.chmod(0o755)
        shutil.copyfile(installer.__file__, self.order / "installer.py")
        if requirements is not None:
            shutil.copyfile(requirements, self.order / "requirements.txt")

    def mark_complete(self) -> None:
        """Declare it whole."""
        os.sync()  # the mark must not reach the disk before what it vouches for
        self.complete.touch()

    def drop(self) -> None:
        """Forget it; the lock stays, because somebody may wait for it."""
        self.complete.unlink(missing_ok=True)  # first: half an environment must not look whole
        for folder in (self.venv, self.log, self.order):
            wipe(folder)


def key_of(request: TaskRequest, *runs_in: str) -> str:
    """The environment's name: from all that decides whether it can be used again."""
    parts = [*runs_in, platform.system(), platform.machine(), request.requirements_digest]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
