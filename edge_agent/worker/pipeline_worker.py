"""The process that one pipeline runs in: ``python -m edge_agent.worker.pipeline_worker``, started by the agent.

Orders come on stdin and statuses go to stdout, one JSON object a line, as in ``worker_protocol.py``; logs go to stderr.
When stdin closes, the agent is gone or wants the worker to end: what is in flight is ended, and then the process.
"""

import asyncio
import faulthandler
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from io import FileIO

from edge_agent.worker.hang_watch import watch_hangs
from edge_agent.worker.pipeline_serving import serve
from edge_agent.worker.worker_protocol import MAX_LINE_BYTES, Answer, Order, read_order
from schemas.errors import TidemillError
from transport.log_format import log_to_stderr

log = logging.getLogger(__name__)


async def run(answers: FileIO) -> None:
    """Follow stdin to its end."""

    def tell(answer: Answer) -> None:
        with suppress(BrokenPipeError):  # the agent is gone, and stdin says so too
            answers.write(answer.to_line())

    watching = asyncio.create_task(watch_hangs(), name="watch for hangs")
    try:
        await serve(_orders(), tell)
    finally:
        watching.cancel()


async def _orders() -> AsyncIterator[Order]:
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            yield read_order(line)
    finally:
        transport.close()


def _answers() -> FileIO:
    """The pipe to the agent; what libraries print goes to the log instead, where it can do no harm."""
    pipe = FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    return pipe


def main() -> int:
    """Run until stdin closes; 1 when the pipeline could not be loaded."""
    faulthandler.enable()  # a library that crashes the interpreter leaves its last words in the agent's log
    log_to_stderr("info")
    with _answers() as answers:
        try:
            asyncio.run(run(answers))
        except TidemillError as error:
            log.error("%s", error)  # noqa: TRY400 - the message says it all, and the agent shows the last line
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
