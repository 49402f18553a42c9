"""Keeps a second process out of a folder that one alone may use."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import BadInput, Conflict


@contextmanager
def own_folder(root: Path, what: str, *, named_by: str = "data_dir") -> Iterator[None]:
    """Make the folder if need be, and hold its lock while the context lasts; the lock ends with the process.

    Args:
        root: such as a daemon's ``data_dir``.
        what: what holds it, for the message: ``agent`` or ``controller``.
        named_by: the setting or option that names it, for the message.

    Raises:
        Conflict: another process holds it.
        BadInput: the folder cannot be made, or nothing written there.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(root / f"{what}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadInput(f"{named_by} {root} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise Conflict(f"another {what} (pid {owner}) uses {root}; give each a {named_by} of its own") from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)
