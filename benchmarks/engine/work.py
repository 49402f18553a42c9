"""The work that every subject does with a message, and where it listens and answers. Needs the standard library alone.

question ─▶ fields renamed, degrees converted ─▶ four numbers into a model ─▶ its four scores as JSON
"""

from dataclasses import dataclass

FIRST_NUMBER = 1_000_000  # all numbers have as many digits, and a float32 holds each precisely
PROBE_NUMBER = 9_000_000  # asks whether the subject is there

QUESTION = b'{"n":%d,"f":118.25,"t":147.2,"v":0.7512,"press":"hall-2/press-17","at":"2026-11-27T08:00:00Z","ok":true}'
"""109 bytes with their number; the answer's last score is that number: so lost and repeated ones are seen."""

LIBRARY = """\
def exec(reading):
    return {
        "number": reading["n"],
        "force": reading["f"],
        "temperature": (reading["t"] - 32) / 1.8,
        "speed": reading["v"],
    }
"""
FEATURES = ("number", "force", "temperature", "speed")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a subject listens, and with which quality of service; it answers with the same."""

    port: int  # of the broker, on loopback
    name: str
    qos: int = 0

    @property
    def questions(self) -> str:
        """The topic to ask on."""
        return f"bench/{self.name}/read"

    @property
    def answers(self) -> str:
        """The topic of the answers."""
        return f"bench/{self.name}/write"


def number_in(answer: bytes) -> int:
    """Which question it answers: ``[[…, 1000017.0]]`` or ``[…, 1000017]``."""
    return int(float(answer[answer.rindex(b",") + 1 :].rstrip(b" ]")))
