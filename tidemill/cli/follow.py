"""Following a run: the lines of its log and the changes of its state, as they come."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import typer

from schemas.errors import TimedOut, Unreachable
from tidemill.cli.output import printable, say

if TYPE_CHECKING:
    from schemas.views import LogPage, RunView
    from tidemill.client import Client

LONG_POLL_S = 2.0
PACE_S = 0.5  # between questions that the controller answers at once
OUTAGE_S = 60.0  # a controller that restarts is waited for this long

Line = Callable[[int, int, str], None]
"""Called with the attempt, the line's number in it from 0, and the line."""


def line_as_text(_attempt: int, _number: int, text: str) -> None:
    """Print a line as data."""
    typer.echo(printable(text))


def line_as_json(attempt: int, number: int, text: str) -> None:
    """Print a line as one JSON object."""
    typer.echo(json.dumps({"attempt": attempt, "line": number, "text": text}, ensure_ascii=False))


def line_as_message(_attempt: int, _number: int, text: str) -> None:
    """Print a line for the person who watches while a program reads the data."""
    say(printable(text))


def no_line(_attempt: int, _number: int, _text: str) -> None:
    """Leave the log alone."""


def print_log(client: "Client", run_id: UUID, line: Line) -> None:
    """Hand over every line there is now."""
    cursor = _LogCursor(line)
    while cursor.take(client.logs(run_id, from_line=cursor.next_line)):
        pass


def follow_run(client: "Client", run_id: UUID, line: Line, *, timeout_s: float | None) -> "RunView":
    """Tell lines and states until the run has ended, and return it.

    Raises:
        TimedOut: it had not ended after ``timeout_s``; it goes on.
        Unreachable: no controller answered for OUTAGE_S.
    """
    from schemas.runs import LIVE  # noqa: PLC0415 - see the package's first line

    cursor, told = _LogCursor(line), ""
    deadline = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
    answered = time.monotonic()
    while True:
        asked = time.monotonic()
        try:
            run = client.run(run_id)
            told = _tell_state(run, told)
            wait_s = max(0.0, min(LONG_POLL_S, deadline - time.monotonic())) if run.state in LIVE else 0.0
            more = cursor.take(client.logs(run_id, from_line=cursor.next_line, wait_s=wait_s))
        except Unreachable as error:
            if asked - answered > OUTAGE_S:
                raise
            told = _tell(f"waiting for the controller: {error}", told)
            more = False
        else:
            answered = time.monotonic()
            if run.state not in LIVE and not more:
                return run
        if time.monotonic() >= deadline:
            raise TimedOut(f"run {run_id} had not ended after {timeout_s:g} s; it goes on")
        if not more:
            time.sleep(max(0.0, min(PACE_S - (time.monotonic() - asked), deadline - time.monotonic())))


@dataclass(slots=True)
class _LogCursor:
    """How much of the log was handed over; a new attempt begins anew."""

    line: Line
    attempt: int = 0
    next_line: int = 0

    def take(self, page: "LogPage") -> bool:
        """Hand over a page's lines; whether it is worth asking for more at once."""
        if page.attempt != self.attempt:
            restarted = self.next_line > 0
            self.attempt, self.next_line = page.attempt, 0
            if restarted:
                return True
        for number, text in enumerate(page.lines, start=page.first_line):
            if number >= self.next_line:
                self.line(page.attempt, number, text)
        self.next_line = max(self.next_line, page.next_line)
        return bool(page.lines)


def _tell_state(run: "RunView", told: str) -> str:
    where = f" on {run.edge}, attempt {run.attempt}" if run.attempt else ""
    return _tell(f"{run.state}{where}" + (f": {run.reason}" if run.reason else ""), told)


def _tell(message: str, told: str) -> str:
    if message != told:
        say(printable(message))
    return message
