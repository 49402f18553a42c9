"""What the diamond costs in instructions of the processor, as Valgrind counts them.

Time depends on the processor, on its caches and on what else the machine does, the same work by half as much again from
one machine to the next; instructions hardly do. What is counted is what a message more takes: the difference between
processes that answer few and many. Valgrind is a package of Debian's: ``apt-get install valgrind``.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.engine.diamond import (
    DIAMOND,
    KINDS,
    SHORTEST,
    TOGETHER,
    called_by_hand,
    loaded,
    time_engine,
    time_libraries,
)
from benchmarks.figures import Figure

WHOLE, LIBRARIES, SHORT = "diamond", "libraries", "shortest"
FEW, MANY = 640, 6400  # messages
UNIT = "thousand instructions/message"

Count = tuple[str, str, int]
"""Kind of library, what is counted, messages in one piece."""


def measure() -> list[Figure]:
    """The libraries' nodes, and the graph beyond them and the shortest pipeline; nothing where Valgrind is not."""
    if shutil.which("valgrind") is None:
        print("instructions are not counted, because Valgrind is not there")
        return []
    any_kind = next(iter(KINDS))
    wanted: list[Count] = [
        *((any_kind, SHORT, at) for at in TOGETHER),
        *((kind, LIBRARIES, 1) for kind in KINDS),
        *((kind, WHOLE, at) for kind in KINDS for at in TOGETHER),
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(wanted, pool.map(_thousands, wanted), strict=True))
    figures = [Figure(f"the shortest pipeline, {at} at once", (found[any_kind, SHORT, at],), UNIT) for at in TOGETHER]
    for kind in KINDS:
        nodes = found[kind, LIBRARIES, 1]
        figures.append(Figure(f"{kind}: its libraries alone", (nodes,), UNIT))
        for at in TOGETHER:
            graph = found[kind, WHOLE, at] - found[any_kind, SHORT, at] - nodes
            figures.append(Figure(f"{kind}: the graph, {at} at once", (graph,), UNIT))
    return figures


def _thousands(count: Count) -> float:
    few, many = (_counted(count, messages) for messages in (FEW, MANY))
    return (many - few) / (MANY - FEW) / 1e3


def _counted(count: Count, messages: int) -> int:
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    python = [sys.executable, "-m", "benchmarks.engine.instructions", *map(str, count), str(messages)]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    told = subprocess.run([*valgrind, *python], check=True, capture_output=True, text=True, env=environment).stderr
    refs = re.search(r"I\s+refs:\s+([\d,]+)", told)
    if refs is None:
        raise ValueError(f"Valgrind told no count: {told}")
    return int(refs[1].replace(",", ""))


async def _answer(kind: str, what: str, together: int, messages: int) -> None:
    """What is counted."""
    source, _ = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
        path = Path(folder) / "library.py"
        path.write_text(source)
        if what == LIBRARIES:
            await time_libraries(*await called_by_hand(path), messages)
            return
        desk = await loaded(SHORTEST if what == SHORT else DIAMOND, path)
        await time_engine(desk, together, messages)
        await desk.engine.drain(10)


if __name__ == "__main__":
    asyncio.run(_answer(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
