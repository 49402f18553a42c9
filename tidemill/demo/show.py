"""What the demonstration's story tells whoever watches it."""

import sys
from typing import Protocol

from schemas.models import ModelVersion


class Show(Protocol):
    """A way to show the story; every method returns at once."""

    def begin(self, step: str) -> None:
        """A step begins; the one before it is done."""

    def note(self, text: str) -> None:
        """Something worth knowing about the present step."""

    def status(self, text: str) -> None:
        """What the run that is under way does now."""

    def log(self, line: str) -> None:
        """A line that the training printed."""

    def versions(self, versions: tuple[ModelVersion, ...], in_use: int | None) -> None:
        """The model's versions, newest first."""

    def answer(self, question: dict[str, object], species: str, expected: str, version: int) -> None:
        """The pipeline answered."""

    def counts(self, sent: int, answered: int, failed: int) -> None:
        """How many flowers were sent and answered so far."""


class PlainShow:
    """Lines on standard error, for pipes, files and continuous integration."""

    def __init__(self) -> None:
        self._answers = 0
        self._status = ""

    def begin(self, step: str) -> None:
        """Print the step."""
        self._print(f"▶ {step}")

    def note(self, text: str) -> None:
        """Print the note below its step."""
        self._print(f"  {text}")

    def status(self, text: str) -> None:
        """Print it when it changes."""
        if text != self._status:
            self._status = text
            self._print(f"  {text}")

    def log(self, line: str) -> None:
        """Print the line as the training's."""
        self._print(f"  │ {line}")

    def versions(self, versions: tuple[ModelVersion, ...], in_use: int | None) -> None:
        """Print the newest version."""
        for card in versions[:1]:
            metrics = ", ".join(f"{name} {value:.3f}" for name, value in card.metrics.items())
            used = "in use" if card.version == in_use else "not in use"
            self._print(f"  version {card.version}: {card.rows} rows, {metrics}, {used}")

    def answer(self, question: dict[str, object], species: str, expected: str, version: int) -> None:
        """Print one answer in twenty, so that the rest stays readable."""
        self._answers += 1
        if self._answers % 20 == 1:
            self._print(f"  flower {question['id']}: {species} (it is {expected}), version {version}")

    def counts(self, sent: int, answered: int, failed: int) -> None:
        """Nothing: the end has them."""

    @staticmethod
    def _print(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
