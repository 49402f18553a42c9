"""Telling the controller what happened to runs: every saved event is sent until it is acknowledged."""

import asyncio
import logging

from edge_agent.execution.executor import TaskKey
from edge_agent.journal import Journal
from schemas import topics
from schemas.errors import Unreachable
from schemas.names import EdgeName
from schemas.runs import RunAck
from transport.mqtt import Link, Subscription

log = logging.getLogger(__name__)

FIRST_REPEAT_S = 5.0
LONGEST_REPEAT_S = 120.0


class Outbox:
    """Sends the journal's unacknowledged events, each attempt's in order.

    New events leave at once. All are sent again after a reconnect, to a controller that was reborn, and ever more
    rarely while no acknowledgement comes.
    """

    def __init__(self, link: Link, journal: Journal, edge: EdgeName) -> None:
        self._link, self._journal, self._edge = link, journal, edge
        self._sent: dict[TaskKey, int] = {}  # the highest sequence that needs no sending just now
        self._news = asyncio.Event()
        self._news.set()

    def wake(self) -> None:
        """Something may have been saved."""
        self._news.set()

    def send_again(self) -> None:
        """The other side may have missed what was sent."""
        self._sent = {}
        self._news.set()

    async def serve(self) -> None:
        """Send until cancelled."""
        clock = asyncio.get_running_loop().time
        repeat_s = FIRST_REPEAT_S
        repeat_at: float | None = None  # when what was sent is sent again; None: nothing waits
        while True:
            self._news.clear()
            if not await self._send():
                repeat_s, repeat_at = FIRST_REPEAT_S, None
            elif repeat_at is None:
                repeat_at = clock() + repeat_s
            try:
                async with asyncio.timeout_at(repeat_at):
                    await self._news.wait()
            except TimeoutError:
                self.send_again()
                repeat_s, repeat_at = min(repeat_s * 2, LONGEST_REPEAT_S), None

    async def take_acknowledgements(self, acks: Subscription) -> None:
        """Drop what the controller has saved, until cancelled."""
        async for message in acks:
            try:
                ack = RunAck.model_validate_json(message.payload)
            except ValueError as error:
                log.warning("acknowledgement not understood", extra={"topic": message.topic, "reason": str(error)})
                continue
            self._journal.acknowledge(TaskKey(ack.run_id, ack.attempt), ack.sequence)

    async def _send(self) -> bool:
        """Send what is due; whether anything still waits for its acknowledgement."""
        unacknowledged = self._journal.unacknowledged()
        waiting = {TaskKey(told.run_id, told.attempt) for told in unacknowledged}
        sent = self._sent = {key: sequence for key, sequence in self._sent.items() if key in waiting}
        for told in unacknowledged:
            key = TaskKey(told.run_id, told.attempt)
            if told.sequence <= sent.get(key, 0):
                continue
            try:
                await self._link.publish(topics.RUN_EVENTS.to(edge=self._edge, run=str(told.run_id)), told.to_wire())
            except Unreachable:
                break  # the reconnect starts this again
            if sent is not self._sent:
                break  # to be sent again from the first: a later one must not overtake it
            sent[key] = told.sequence
        return bool(unacknowledged)
