"""How fast a run's rows are selected, and in how much memory, against a bare loop that writes the same file.

The bare loop is sqlite3, orjson and a buffered file: no frozen window, no limits of time and size, no hash, no check of
the query. Both ways run in turns, each time in a process of its own, which also tells its peak memory: beyond the
process as it is before the first row, everything imported. Run: ``python -m benchmarks.selection [--rows 1000000]
[--rounds 3] [--json result.json]``
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path

import orjson

from benchmarks.figures import Figure, arguments, tell
from controller.data.payloads import Parsed, Row
from controller.data.selection import Asked, Selector
from controller.stores.collections import CollectionStore
from controller.stores.sources import Sources
from schemas.collections import CollectionSpec, ColumnType
from schemas.queries import Format, Query
from transport.blob_store import BlobDirectory

SPEC = CollectionSpec(
    name="press",
    columns={
        "line": ColumnType.TEXT,
        "strokes": ColumnType.INTEGER,
        "force": ColumnType.REAL,
        "temperature": ColumnType.REAL,
        "ok": ColumnType.BOOLEAN,
        "at": ColumnType.TIMESTAMP,
    },
)
SQL = "SELECT * FROM press"
FORMATS: tuple[Format, ...] = ("json", "ndjson", "csv", "parquet")
WAYS = ("bare", *FORMATS)
GOAL_MB = 150.0
GOAL_OF_BARE = 0.5
_BATCH = 10_000


def fill(store: CollectionStore, rows: int) -> None:
    """Rows as a machine sends them, about 160 bytes each as JSON."""
    store.declare(SPEC)
    store.insert_all(
        "press", (Parsed([row(number) for number in range(at, at + _BATCH)]) for at in range(0, rows, _BATCH))
    )


def row(number: int) -> Row:
    return {
        "line": f"hall-2/press-{number % 17}",
        "strokes": number,
        "force": 120 + number % 1000 / 7,
        "temperature": 60 + number % 313 / 11,
        "ok": number % 50 != 0,
        "at": "2026-03-04T05:06:07.000008+00:00",
    }


def bare(database: Path, target: Path) -> Path:
    """The least that could write the same file."""
    sqlite3.register_converter("BOOLEAN", lambda text: text == b"1")
    with closing(sqlite3.connect(database, detect_types=sqlite3.PARSE_DECLTYPES)) as connection:
        cursor = connection.execute(f"{SQL} ORDER BY position")
        keys = [column[0] for column in cursor.description]
        with target.open("wb") as file:
            before = b"[\n"
            for values in cursor:
                file.write(before + orjson.dumps(dict(zip(keys, values, strict=True))))
                before = b",\n"
            file.write(b"\n]\n")
    return target


def selecting(folder: Path, wanted: Format) -> Callable[[], Path]:
    """What a run does, with everything loaded."""
    blobs = BlobDirectory(folder / "blobs")
    store = CollectionStore(f"sqlite:///{folder / 'collections.db'}")
    selector = Selector(store, Sources({}), blobs, max_bytes=10**10, timeout_s=600)
    asked = Asked((Query(query=SQL, format=wanted),))
    if wanted == "parquet":
        import_module("controller.data.parquet_rows")
    return lambda: blobs.path(selector.select(asked).data[0].blob.digest)


def one(folder: Path, way: str) -> None:
    """Do it once in this process, and tell how long it took and how much memory it had beyond being idle."""
    works: dict[str, Callable[[], Path]] = {wanted: selecting(folder, wanted) for wanted in FORMATS if wanted == way}
    work = works.get(way, lambda: bare(folder / "collections.db", folder / "bare.json"))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    idle_mb = memory_mb("VmRSS")
    started_s = time.perf_counter()
    file = work()
    took_s = time.perf_counter() - started_s
    told = {
        "took_s": took_s,
        "peak_mb": memory_mb("VmHWM") - idle_mb,
        "size_bytes": file.stat().st_size,
    }
    file.unlink()
    print(json.dumps(told))


def memory_mb(what: str) -> float:
    """Of this process, by the kernel's name for it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


def measure(folder: Path, rows: int, rounds: int) -> list[Figure]:
    """All ways in turns, so that whatever else the machine does hits each alike."""
    with closing(CollectionStore(f"sqlite:///{folder / 'collections.db'}")) as store:
        fill(store, rows)
    told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.selection", "--one", str(folder), way]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            told[way].append(json.loads(answer))
    assert {round_["size_bytes"] for way in ("bare", "json") for round_ in told[way]} == {told["bare"][0]["size_bytes"]}
    figures = []
    for way, found in told.items():
        figures.append(Figure(f"{way}: rows/s", tuple(rows / each["took_s"] for each in found), "1/s"))
        figures.append(Figure(f"{way}: MB", tuple(each["size_bytes"] / 1e6 for each in found), "MB"))
        if way != "bare":
            pairs = zip(told["bare"], found, strict=True)
            ratios = tuple(without["took_s"] / each["took_s"] for without, each in pairs)
            goal = GOAL_OF_BARE if way == "json" else None
            figures.append(Figure(f"{way}: of the bare loop's speed, at least", ratios, "×", goal))
            figures.append(Figure(f"{way}: memory", tuple(each["peak_mb"] for each in found), "MB", GOAL_MB))
    return figures


def main() -> None:
    """Measure and print, or be the process that is measured."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help="do it once")
    options = parser.parse_args()
    if options.one:
        one(Path(options.one[0]), options.one[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.rows, options.rounds)
    tell(f"Selecting {options.rows:,} rows", figures, options.json)


if __name__ == "__main__":
    main()
