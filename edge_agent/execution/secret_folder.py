"""The folder in which a task's scripts find secrets: in memory where that goes, private, and gone with the task.

<folder>/
    secrets.json    {"variables": {NAME: value}, "files": {FILE: NAME of the variable with its path}}
    files/FILE      a value as a file
"""

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock

import psutil

from edge_agent.execution import task_folder
from edge_agent.execution.executor import TaskKey
from schemas.errors import TaskFailed
from schemas.jobs import SecretUse

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it is taken only if it is ours alone


class SecretFolders:
    """The folders of one agent's tasks."""

    def __init__(self, tasks: Path, memory: Path | None, *, owner: tuple[int, int] | None) -> None:
        """Where they are.

        Args:
            tasks: the agent's task folders, where secrets lie if there is no memory for them.
            memory: a private folder that no disk holds, see ``memory_folder``.
            owner: user and group that scripts run as, if that is not the agent's own.
        """
        self._tasks, self._memory, self._owner = tasks, memory, owner
        self._changing = Lock()  # an empty place is removed, and must not be while a folder is made in it

    def create(self, key: TaskKey, uses: Iterable[SecretUse], values: Mapping[str, str]) -> Path:
        """Lay out an attempt's secrets, in place of what is there; blocks.

        Raises:
            TaskFailed: a value can be no variable, or there is none.
            OSError: they do not fit.
        """
        if self._memory is None:
            log.warning("secrets lie on the disk: there is no shared memory for them", extra={"task": str(key)})
        folder = self._place(key)
        with self._changing:
            task_folder.wipe(folder)
            (folder / "files").mkdir(mode=0o700, parents=True)
            folder.chmod(0o700)
        variables: dict[str, str] = {}
        files: dict[str, str] = {}
        for use in uses:
            if use.secret not in values:
                raise TaskFailed(f"the secret {use.secret} did not come with the others")
            if use.file is not None:
                self._write(folder / "files" / use.file, values[use.secret])
                files[use.file] = use.variable_name
            elif "\0" in values[use.secret]:
                raise TaskFailed(f"the secret {use.secret} holds a zero byte, which no variable can; use it as a file")
            else:
                variables[use.variable_name] = values[use.secret]
        self._write(folder / "secrets.json", json.dumps({"variables": variables, "files": files}))
        for made in (folder / "files", folder):
            self._give(made)
        return folder

    def remove(self, key: TaskKey) -> None:
        """Leave nothing of an attempt's secrets; that there are none is no error. Blocks."""
        with self._changing:
            task_folder.wipe(self._place(key))
            if self._memory is not None:
                with suppress(OSError):  # there is none, or another task has secrets
                    self._memory.rmdir()

    def attempts(self) -> list[TaskKey]:
        """Every attempt that has secrets in memory; what lies elsewhere goes with the task's own folder."""
        return task_folder.keys(self._memory) if self._memory is not None else []

    def _place(self, key: TaskKey) -> Path:
        if self._memory is not None:
            return self._memory / str(key)
        return task_folder.folder_of(self._tasks, key) / "secrets"

    def _write(self, path: Path, text: str) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
            file.write(text.encode())
        self._give(path)

    def _give(self, path: Path) -> None:
        if self._owner is not None and self._owner != (os.getuid(), os.getgid()):
            os.chown(path, *self._owner, follow_symlinks=False)


def memory_folder(data_dir: Path) -> Path | None:
    """Where secrets of the agent with this data folder can lie privately in memory; None if that cannot be had.

    Anybody may write to shared memory: what somebody else put in our place, or can look into, is not used.
    """
    mounts = psutil.disk_partitions(all=True)
    if not any(mount.mountpoint == str(SHARED_MEMORY) and mount.fstype == "tmpfs" for mount in mounts):
        return None
    try:
        return private_folder(SHARED_MEMORY, data_dir)
    except OSError:
        return None


def private_folder(parent: Path, data_dir: Path) -> Path | None:
    """A place of our own in a folder that everybody may write to; None if somebody else has taken it.

    Raises:
        OSError: it cannot be had.
    """
    ours = parent / f"tidemill-{os.getuid()}"
    ours.mkdir(mode=0o700, exist_ok=True)
    found = ours.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        return None
    return ours / hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
