"""One environment's place in the cache, and the marks that tell a whole one from half of one.

<environments>/<key>/
    lock       held while somebody installs, by the installing program too
    order/     installer.py and requirements.txt; read-only for the installer
    log/       what the installer said
    venv/      the environment; made in place, because it cannot be moved
    uses/      links to the folders of those who were given it: attempts, pipelines; the use is over when one is gone
    complete   is there once the environment is, and tells its size; without it the place is cleared and filled again
"""

import hashlib
import json
import os
import platform
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.execution import installer
from edge_agent.execution.executor import NeedsEnvironment
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
    def requirements(self) -> Path:
        """What is to be installed; may not be there."""
        return self.order / "requirements.txt"

    @property
    def log(self) -> Path:
        """The folder that the installer's log is in."""
        return self.folder / "log"

    @property
    def lock(self) -> Path:
        """Locked while somebody installs."""
        return self.folder / "lock"

    @property
    def size_bytes(self) -> int | None:
        """What a whole environment takes of the disk, measured when it was made; None: it is not whole."""
        try:
            size = json.loads(self._complete.read_bytes())["size_bytes"]
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
        return size if isinstance(size, int) else None

    @property
    def used_at(self) -> float:
        """When somebody was last given it, in seconds since 1970."""
        return self._complete.stat().st_mtime

    @property
    def _complete(self) -> Path:
        return self.folder / "complete"

    @property
    def _uses(self) -> Path:
        return self.folder / "uses"

    def clear(self, requirements: Path | None) -> None:
        """Make it ready for an installer: nothing of an interrupted one is left."""
        self._complete.unlink(missing_ok=True)
        for folder in (self.venv, self.log, self.order):
            wipe(folder)
            folder.mkdir()
            folder.chmod(0o755)
        shutil.copyfile(installer.__file__, self.order / "installer.py")
        if requirements is not None:
            shutil.copyfile(requirements, self.requirements)

    def mark_complete(self) -> None:
        """Declare it whole; blocks until it is on the disk."""
        part = self.folder / "complete.part"
        part.write_text(json.dumps({"size_bytes": disk_use(self.venv)}), encoding="utf-8")
        os.sync()  # the mark must not reach the disk before what it vouches for
        part.replace(self._complete)

    def give_to(self, user: Path) -> None:
        """Note that whoever has this folder uses it from now on."""
        self._uses.mkdir(exist_ok=True)
        with suppress(FileExistsError):
            (self._uses / user.name).symlink_to(user.absolute())
        self._complete.touch()

    def is_used(self, tasks: Path) -> bool:
        """Whether one whom it was given to still has its folder; forgets those that have none."""
        used = False
        for mark in self._uses.iterdir() if self._uses.is_dir() else ():
            user = mark if mark.is_symlink() else tasks / mark.name  # an attempt that an earlier agent noted
            if user.exists():
                used = True
            else:
                mark.unlink(missing_ok=True)
        return used

    def remove(self) -> None:
        """Forget it, its lock too; whoever calls holds that, and nobody fills the place before it is empty."""
        self._complete.unlink(missing_ok=True)  # first: half an environment must not look whole
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                wipe(path)
            elif path != self.lock:
                path.unlink()
        self.lock.unlink()
        with suppress(OSError):  # it is wanted again already
            self.folder.rmdir()


def key_of(request: NeedsEnvironment, *runs_in: str) -> str:
    """The environment's name: from all that decides whether it can be used again."""
    parts = [*runs_in, platform.system(), platform.machine(), request.requirements_digest]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def disk_use(folder: Path, *, single: bool = False) -> int:
    """Bytes of disk that the files below a folder take; ``single`` counts those alone that have no other name."""
    seen: set[int] = set()
    used = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):  # an installation goes on below
                status = Path(parent, name).lstat()
                if status.st_ino not in seen and not (single and status.st_nlink > 1):
                    used += status.st_blocks * 512
                    seen.add(status.st_ino)
    return used
