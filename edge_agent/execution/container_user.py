"""Who a container runs as, and how it comes to own what it has to write to."""

import os
from collections.abc import Iterable
from pathlib import Path

_NOBODY = 65534


def user() -> tuple[int, int]:
    """User and group of a container: never root, and able to write what this agent may read."""
    return (_NOBODY, _NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())


def give(folders: Iterable[Path]) -> None:
    """Let the container's user write to these, which this agent made; blocks."""
    uid, gid = user()
    if os.getuid() != 0:
        return
    for folder in folders:
        for parent, _, files in os.walk(folder):
            os.chown(parent, uid, gid, follow_symlinks=False)
            for name in files:
                os.chown(Path(parent, name), uid, gid, follow_symlinks=False)
