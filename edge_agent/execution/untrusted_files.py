"""The only place that opens what a training script may have put there: links, pipes and devices are refused."""

import os
import stat
from pathlib import Path
from typing import BinaryIO


class Refused(Exception):
    """This is not a plain file; the message says what it is."""


def open_plain(path: str | Path, folder: int | None = None, *, linked: bool = False) -> BinaryIO:
    """Open a regular file for reading, without following a link or waiting for a pipe's other end.

    Args:
        path: the file; only its last part is checked, so name it from a folder that is not the script's.
        folder: descriptor of the folder that ``path`` starts from.
        linked: take also a file that has a second name.

    Raises:
        Refused: it is a link, a pipe, a device, a folder, or has a second name.
        FileNotFoundError: there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Refused(f"{_kind(path, folder)} ({error.strerror})") from error
    file = os.fdopen(descriptor, "rb")
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or (status.st_nlink > 1 and not linked):
        file.close()
        raise Refused(kind_of(status))
    return file


def kind_of(status: os.stat_result) -> str:
    """What a directory entry is, in words."""
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        return "a hard link: the file has a second name"
    return kinds.get(stat.S_IFMT(status.st_mode), "a file")


def _kind(path: str | Path, folder: int | None) -> str:
    try:
        return kind_of(os.stat(path, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return "a file"
