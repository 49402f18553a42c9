"""Which of our messages are on their way to the broker: at most twenty at a time, the others in line."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from schemas.errors import BadPayload, TidemillError, Unreachable

IN_FLIGHT = 20  # more has stalled brokers, and is no faster
MOST_BREAKS = 10  # of connections, in a row, with the same message as the oldest that was sent

Told = Callable[[TidemillError | None], None]
"""Called once: with None when the broker has the message, or with why nobody will know."""


@dataclass(slots=True, eq=False)
class Parcel:
    """A message to publish."""

    topic: str
    payload: bytes
    qos: Literal[0, 1]
    retain: bool
    told: Told
    breaks: int = 0  # of connections on which it was the oldest that the broker had not acknowledged


class Outbox:
    """Places for messages in flight, and the line before them.

    A place is free again when the broker has acknowledged its message, not when its publisher has lost patience:
    so what lies with the MQTT library is bounded even if the connection never comes back.

    A broker that does not like a message closes the connection, and gets it again with the next one: in their order, so
    that it is the oldest each time. Nobody behind it would ever be heard.
    """

    def __init__(self, hand_over: Callable[[Parcel], int], give_up: Callable[[int], bool]) -> None:
        """Hand nothing over yet.

        Args:
            hand_over: Gives a message to the MQTT library and returns its packet id.
            give_up: Has the library not send this one again; False if it cannot.
        """
        self._hand_over, self._give_up = hand_over, give_up
        self._open = False
        self._line: deque[Parcel] = deque()
        self._on_the_way: dict[int, Parcel] = {}

    def add(self, parcel: Parcel) -> None:
        """Send it as soon as there is a connection and a place."""
        if self._open and len(self._on_the_way) < IN_FLIGHT and not self._line:
            self._on_the_way[self._hand_over(parcel)] = parcel
        else:
            self._line.append(parcel)

    def withdraw(self, parcel: Parcel) -> None:
        """Forget it if it is still in line; one that is on its way keeps its place."""
        if parcel in self._line:
            self._line.remove(parcel)

    def arrived(self, packet_id: int) -> None:
        """The broker has it (QoS 1), or it was written to the connection (QoS 0)."""
        parcel = self._on_the_way.pop(packet_id, None)
        if parcel is not None:
            parcel.told(None)
            self._advance()

    def connected(self) -> None:
        """There is a connection."""
        self._open = True
        self._advance()

    def disconnected(self, error: TidemillError) -> None:
        """What was sent with QoS 0 is lost; the rest goes out again with the next connection, or is given up."""
        was_open, self._open = self._open, False
        lost = [packet_id for packet_id, parcel in self._on_the_way.items() if parcel.qos == 0]
        for parcel in [self._on_the_way.pop(packet_id) for packet_id in lost]:
            parcel.told(error)
        if was_open and self._on_the_way:
            self._blame(next(iter(self._on_the_way)))

    def _blame(self, packet_id: int) -> None:
        """The oldest may be why the connection broke."""
        parcel = self._on_the_way[packet_id]
        parcel.breaks += 1
        if parcel.breaks >= MOST_BREAKS and self._give_up(packet_id):
            del self._on_the_way[packet_id]
            told = f"the broker closed the connection each of the {MOST_BREAKS} times that it was sent this message"
            parcel.told(BadPayload(f"{parcel.topic}: {told}: it may be larger than the broker takes"))

    def end(self) -> None:
        """The link is closed: nobody will learn what arrived."""
        self._open = False
        begun, waiting = [*self._on_the_way.values()], [*self._line]
        self._on_the_way.clear()
        self._line.clear()
        for parcel in begun:
            parcel.told(Unreachable("the connection was closed before the message was acknowledged"))
        for parcel in waiting:
            parcel.told(Unreachable(f"{parcel.topic} cannot be published: the connection was closed"))

    def _advance(self) -> None:
        while self._line and self._open and len(self._on_the_way) < IN_FLIGHT:
            parcel = self._line.popleft()
            self._on_the_way[self._hand_over(parcel)] = parcel
