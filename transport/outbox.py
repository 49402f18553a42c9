"""Which of our messages are on their way to the broker: at most twenty at a time."""

import asyncio

from schemas.errors import TidemillError, Unreachable

IN_FLIGHT = 20  # more has stalled brokers, and is no faster


class Outbox:
    """Places for messages in flight.

    A place is free again when the broker has acknowledged its message, not when its publisher has lost patience:
    so what lies with the MQTT library is bounded even if the connection never comes back.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self._on_the_way: dict[int, tuple[asyncio.Future[None], int]] = {}

    async def enter(self) -> None:
        """Wait for a free place and take it."""
        await self._places.acquire()

    def leave(self) -> None:
        """Give a place back in which nothing was sent."""
        self._places.release()

    def sent(self, packet_id: int, qos: int) -> "asyncio.Future[None]":
        """A message is on its way; the future is done when it has arrived."""
        future = asyncio.get_running_loop().create_future()
        self._on_the_way[packet_id] = future, qos
        return future

    def arrived(self, packet_id: int) -> None:
        """The broker has it (QoS 1), or it was written to the connection (QoS 0)."""
        future, _ = self._on_the_way.pop(packet_id, (None, 0))
        if future is not None:
            self._places.release()
            if not future.done():
                future.set_result(None)

    def disconnected(self, error: TidemillError) -> None:
        """What was sent with QoS 0 is lost; the rest goes out again with the next connection."""
        self._fail(error, [packet_id for packet_id, (_, qos) in self._on_the_way.items() if qos == 0])

    def end(self) -> None:
        """The link is closed: nobody will learn what arrived."""
        self._fail(Unreachable("the connection was closed before the message was acknowledged"), [*self._on_the_way])

    def _fail(self, error: TidemillError, packet_ids: list[int]) -> None:
        for packet_id in packet_ids:
            future, _ = self._on_the_way.pop(packet_id)
            self._places.release()
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: its publisher may have gone
