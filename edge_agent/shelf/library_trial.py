"""Loads a pipeline's libraries in a process of its own, to see whether they find what they import.

A pipeline whose requirements change gets a new process. What that could not load would leave it without any, so it is
tried before; the process reads a ``Load`` order from stdin and writes what is wrong to stdout.
"""

import asyncio
import os
import sys

from edge_agent.shelf.trial_process import trial_process
from edge_agent.worker.importing import make_importable
from edge_agent.worker.worker_protocol import Load, read_order
from pipeline_runtime.libraries.library_module import Library
from schemas.errors import BadInput, Unfit

TIMEOUT_S = 120.0
LONGEST_REASON = 1000


async def try_libraries(order: Load, timeout_s: float = TIMEOUT_S) -> None:
    """Load the libraries of an order.

    Raises:
        Unfit: one cannot be loaded.
        BadInput: they take too long.
    """
    async with trial_process("edge_agent.shelf.library_trial") as process:
        try:
            async with asyncio.timeout(timeout_s):
                said, _ = await process.communicate(order.to_line())
        except TimeoutError as error:
            raise BadInput(f"its libraries were not loaded within {timeout_s:g} s") from error
    if process.returncode:
        reason = said.decode(errors="replace").strip()[:LONGEST_REASON]
        raise Unfit(reason or f"loading its libraries ended a process with code {process.returncode}")


def main() -> int:
    """Load them; 1 when one cannot be."""
    order = read_order(sys.stdin.buffer.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    if isinstance(order, Load):
        make_importable(order.packages)
        try:
            for name, path in order.libraries.items():
                Library(name, path)
        except BadInput as error:
            answers.write(str(error))
            answers.flush()
            return 1
    return 0


if __name__ == "__main__":
    code = main()
    os._exit(code)  # threads that a library has begun are not waited for
