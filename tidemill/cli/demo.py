"""`tidemill demo`: the whole loop on this machine, shown live or told in one JSON object."""

import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import typer

from schemas.errors import TidemillError
from tidemill.demo.choices import choose_executor
from tidemill.demo.outcome import Outcome
from tidemill.demo.screen import open_show
from tidemill.demo.telling import tell


def demo(*, once: bool, json_output: bool, executor: str | None) -> None:
    """Tell the story; end with status 0 when it is told or a person ends it, and with 1 if it fails."""
    folder = Path(tempfile.mkdtemp(prefix="tidemill-demo-"))
    try:
        outcome = asyncio.run(_until_signalled(folder, executor, once=once, json_output=json_output))
    except* TidemillError as group:
        error = _first(group)
        sys.stderr.write(f"the demonstration failed: {error}\nits logs are in {folder}\n")
        raise typer.Exit(1) from error
    except* Exception:
        sys.stderr.write(f"the demonstration failed; its logs are in {folder}\n")
        raise
    shutil.rmtree(folder, ignore_errors=True)
    if outcome is not None and json_output:
        sys.stdout.write(outcome.model_dump_json(indent=2) + "\n")


async def _until_signalled(folder: Path, executor: str | None, *, once: bool, json_output: bool) -> Outcome | None:
    choice = await choose_executor(executor)
    with open_show(plain=json_output or not sys.stderr.isatty()) as show:
        telling = asyncio.create_task(tell(folder, choice, show, once=once), name="story")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, telling.cancel)
        try:
            return await telling
        except asyncio.CancelledError:
            show.note("ended by a person")
            return None


def _first(group: BaseExceptionGroup[TidemillError]) -> TidemillError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
