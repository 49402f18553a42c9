"""Makes a log of what scripts print: whole lines of plain text, without secrets.

Three steps, each of which holds back what it cannot judge before more has come: terminal control sequences are taken
out, secret values are masked, and what is drawn over with carriage returns (progress bars) becomes its last state.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

LINE_BYTES = 8000  # of a line; the rest is cut
BAR_EVERY_S = 10.0  # how often a line that is drawn over again and again is shown meanwhile
SHORTEST_SECRET = 4  # masking shorter ones would tell more than it hides
SHORTEST_SECRET_LINE = 8
MASK = "••••".encode()

_ESCAPE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-OQ-WYZ\\`-~])"
)
_OPEN_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)\Z")
_LONGEST_ESCAPE = 4096
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r")) + b"\x7f"


class Escapes:
    """Takes out colours, cursor movements and all other control sequences."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The plain text that can be told by now."""
        data = self._held + data
        self._held = b""
        if b"\x1b" in data:
            data = _ESCAPE.sub(b"", data)
            started = _OPEN_ESCAPE.search(data)
            if started and len(data) - started.start() <= _LONGEST_ESCAPE:
                self._held = started.group()
                data = data[: started.start()]
        return data.translate(None, _CONTROLS)

    def end(self) -> bytes:
        """What was held back: half a sequence, which shows nothing."""
        self._held = b""
        return b""


class Redactor:
    """Masks every secret value, also one that comes in pieces."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._values = sorted({part for secret in secrets for part in _tellable(secret)}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._values)))
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The text that holds no more than a mask of each secret."""
        if not self._values:
            return data
        data = self._held + data
        safe = self._safe_length(data)
        self._held = data[safe:]
        return self._pattern.sub(MASK, data[:safe])

    def end(self) -> bytes:
        """What was held back because a secret could have begun there."""
        held, self._held = self._held, b""
        return self._pattern.sub(MASK, held) if self._values else held

    def _safe_length(self, data: bytes) -> int:
        """Up to where nothing depends on what comes next: neither a secret's beginning nor a part of one."""
        safe = min(_beginning(value, data) for value in self._values)
        for match in self._pattern.finditer(data):
            if match.start() < safe < match.end():
                return match.start()
        return safe


def _tellable(secret: str) -> Iterable[bytes]:
    """A secret as it may be printed: as it is, stripped, and each line of a longer text alone."""
    for text in (secret, secret.strip()):
        if len(text) >= SHORTEST_SECRET:
            yield text.encode()
    for line in secret.splitlines():
        if len(line.strip()) >= SHORTEST_SECRET_LINE:
            yield line.strip().encode()


def _beginning(value: bytes, data: bytes) -> int:
    """Where the end of ``data`` may be the beginning of ``value``; its length if nowhere."""
    place = data.find(value[:1], max(0, len(data) - len(value) + 1))
    while place >= 0:
        if data.startswith(value[: min(16, len(data) - place)], place) and value.startswith(data[place:]):
            return place
        place = data.find(value[:1], place + 1)
    return len(data)


class Lines:
    """Cuts text into lines of bounded length, and shows what is drawn over as it was last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._line = bytearray()
        self._cut_bytes = 0
        self._returned = False  # the cursor is back at the line's beginning
        self._bar_due_at: float | None = None  # when a line that was drawn over is shown next

    def feed(self, data: bytes) -> bytes:
        """The lines that this completes."""
        *complete, rest = data.split(b"\n")
        lines = []
        for part in complete:
            self._add(part)
            lines.append(self._take())
        self._add(rest)
        if self._bar_due_at is not None and self._line and self._clock() >= self._bar_due_at:
            lines.append(bytes(self._line) + b"\n")
            self._bar_due_at = self._clock() + BAR_EVERY_S
        return b"".join(lines)

    def end(self) -> bytes:
        """The last line, if nothing ended it."""
        return self._take() if self._line else b""

    def _add(self, part: bytes) -> None:
        text = part.rstrip(b"\r")
        if text:
            _, drawn_over, last = text.rpartition(b"\r")
            if drawn_over or self._returned:
                self._line.clear()
                self._cut_bytes = 0
                if self._bar_due_at is None:
                    self._bar_due_at = self._clock() + BAR_EVERY_S
            room = LINE_BYTES - len(self._line)
            self._line += last[:room]
            self._cut_bytes += max(0, len(last) - room)
            self._returned = False
        self._returned = self._returned or len(text) < len(part)

    def _take(self) -> bytes:
        note = f" … cut, {self._cut_bytes} bytes more".encode() if self._cut_bytes else b""
        line = bytes(self._line) + note + b"\n"
        self._line.clear()
        self._cut_bytes, self._returned, self._bar_due_at = 0, False, None
        return line


class Cleaner:
    """All three, one after the other."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._steps = (Escapes(), Redactor(secrets), Lines())

    def feed(self, data: bytes) -> bytes:
        """The lines of the log that these bytes complete."""
        for step in self._steps:
            data = step.feed(data)
        return data

    def end(self) -> bytes:
        """What is left when a script has ended."""
        data = b""
        for step in self._steps:
            data = step.feed(data) + step.end()
        return data
