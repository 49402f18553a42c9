"""The story on a terminal: steps with ticks, the training's log, versions, and the stream of answers."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from schemas.models import ModelVersion
from tidemill.demo.show import PlainShow, Show


@contextmanager
def open_show(*, plain: bool) -> Iterator[Show]:
    """A show for as long as the block lasts: plain lines, or a screen that is drawn anew."""
    if plain:
        yield PlainShow()
        return
    screen = Screen()
    with Live(screen, console=Console(stderr=True), refresh_per_second=8, vertical_overflow="crop"):
        yield screen


class Screen:
    """What is drawn; implements ``Show``."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, list[str]]] = []
        self._status = ""
        self._log: deque[str] = deque(maxlen=8)
        self._answers: deque[tuple[object, str, str, int]] = deque(maxlen=8)
        self._versions: tuple[ModelVersion, ...] = ()
        self._in_use: int | None = None
        self._counts = (0, 0, 0)
        self._spinner = Spinner("dots", style="cyan")

    def begin(self, step: str) -> None:
        """A step begins; the one before it gets its tick."""
        self._steps.append((step, []))

    def note(self, text: str) -> None:
        """A line below the present step."""
        self._steps[-1][1].append(text)

    def status(self, text: str) -> None:
        """One line below the steps, which changes."""
        self._status = text

    def log(self, line: str) -> None:
        """A line of the training."""
        self._log.append(line)

    def versions(self, versions: tuple[ModelVersion, ...], in_use: int | None) -> None:
        """The table of versions."""
        self._versions, self._in_use = versions, in_use

    def answer(self, question: dict[str, object], species: str, expected: str, version: int) -> None:
        """One more answer in the stream."""
        self._answers.append((question["id"], species, expected, version))

    def counts(self, sent: int, answered: int, failed: int) -> None:
        """The totals above the stream."""
        self._counts = sent, answered, failed

    def __rich__(self) -> RenderableType:
        """Everything, as it is now."""
        parts: list[RenderableType] = [self._draw_steps()]
        if self._log:
            parts.append(Panel(Text("\n".join(self._log), no_wrap=True, style="dim"), title="training log"))
        if self._versions:
            parts.append(self._draw_versions())
        if self._answers:
            parts.append(self._draw_answers())
        return Group(*parts)

    def _draw_steps(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for number, (step, notes) in enumerate(self._steps, start=1):
            done = number < len(self._steps)
            table.add_row(Text("✓", style="green") if done else self._spinner, Text(step, style="" if done else "bold"))
            for note in notes:
                table.add_row("", Text(note, style="dim"))
        table.add_row("", Text(self._status, style="cyan", no_wrap=True, overflow="ellipsis"))
        return table

    def _draw_versions(self) -> RenderableType:
        table = Table("version", "rows", "accuracy", "", title="model iris", title_justify="left")
        for card in self._versions[:5]:
            accuracy = card.metrics.get("accuracy")
            used = Text("in use", style="green") if card.version == self._in_use else Text("")
            table.add_row(str(card.version), str(card.rows), f"{accuracy:.3f}" if accuracy is not None else "", used)
        return table

    def _draw_answers(self) -> RenderableType:
        sent, answered, failed = self._counts
        table = Table.grid(padding=(0, 2))
        for number, species, expected, version in self._answers:
            right = species == expected
            mark = Text("✓", style="green") if right else Text(f"it is {expected}", style="yellow")
            table.add_row(f"flower {number}", species, mark, Text(f"version {version}", style="dim"))
        return Panel(table, title=f"answers: {answered} of {sent}, {failed} failed")
