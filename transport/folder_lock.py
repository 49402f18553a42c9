"""Keeps a second daemon out of a data folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import BadInput, Conflict


@contextmanager
def own_folder(root: Path, what: str) -> Iterator[None]:
    """Make the folder if need be, and hold its lock while the context lasts; the lock ends with the process.

    Args:
        root: the daemon's ``data_dir``.
        what: what holds it, for the message: ``agent`` or ``controller``.

    Raises:
        Conflict: another process holds it.
        BadInput: the folder cannot be made, or nothing written there.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(root / f"{what}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadInput(f"data_dir {root} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise Conflict(f"another {what} (pid {owner}) uses {root}; give each a data_dir of its own") from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)
