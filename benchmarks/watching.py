"""What a daemon takes of the machine, and what it has written down."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from tests.e2e.world import Daemon


def resident_mb(daemon: Daemon, *, children: bool = True) -> float:
    """A daemon's memory, with or without that of the processes that it keeps."""
    process = psutil.Process(daemon.pid)
    kept = process.children(recursive=True) if children else []
    return sum(each.memory_info().rss for each in (process, *kept)) / 1e6


def used_s(daemon: Daemon) -> float:
    """Processor time of a daemon so far, with that of the processes that it keeps and of those that have ended."""
    process = psutil.Process(daemon.pid)
    own, kept = process.cpu_times(), [child.cpu_times() for child in process.children(recursive=True)]
    ended = own.children_user + own.children_system
    return own.user + own.system + ended + sum(each.user + each.system for each in kept)


@dataclass(slots=True)
class Share:
    """Per cent of one processor that a daemon took; right once its block has ended."""

    percent: float = 0.0


@contextmanager
def processor_of(daemon: Daemon) -> Iterator[Share]:
    """Watch a daemon for the length of the block."""
    share, before_s, started_s = Share(), used_s(daemon), perf_counter()
    yield share
    share.percent = (used_s(daemon) - before_s) / (perf_counter() - started_s) * 100


def ask(database: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    """What stands in a SQLite database that a daemon writes at the same time."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def size_mb(database: Path) -> float:
    """A SQLite database on the disk, its log included."""
    return sum(part.stat().st_size for part in database.parent.glob(f"{database.name}*")) / 1e6
