"""A process with a pipeline that has a window: ``python -m tests.integration.windowing_process <state folder>``.

Each line of stdin is a message; a line of stdout is what was published, or ``ok`` once the message was acknowledged.
"""

import asyncio
import sys
from pathlib import Path

from tests.unit.engine_desk import Written, desk

NODES: list[Written] = [
    {"id": "in", "type": "mqtt_sub", "topic": "t/in"},
    {"id": "w", "type": "window", "size": 10, "every": 5, "time": "ts", "by": "m", "late": 3, "inputs": ["in"],
     "values": {"sum": {"use": "sum", "of": "v"}, "rows": {"use": "rows", "of": "v"}}},
    {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["w"]},
]  # fmt: skip


async def main(state: Path) -> None:
    """Answer until stdin closes."""
    async with desk(NODES, state=state) as made:
        while line := await asyncio.to_thread(sys.stdin.readline):
            await made.answered(line.strip().encode())
            while made.engine.backlog or made.engine._runs:  # noqa: ASYNC110 - windows that were closed with it
                await asyncio.sleep(0)
            for publication in made.published:
                sys.stdout.write(f"{publication.payload.decode()}\n")
            made.published.clear()
            sys.stdout.write("ok\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
