"""Asks edges what became of the last messages of a pipeline."""

import asyncio
from uuid import UUID, uuid4

from schemas.errors import Unreachable
from schemas.names import EdgeName
from schemas.outcomes import OutcomesAsk, OutcomesTold
from schemas.topics import PIPELINE_ASK
from transport.mqtt import Link

PATIENCE_S = 6.0  # an edge waits for its worker for three


class Outcomes:
    """The questions that are open."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._open: dict[UUID, asyncio.Future[OutcomesTold]] = {}

    async def ask(self, edge: EdgeName, pipeline: str, count: int) -> OutcomesTold:
        """What the edge tells. Raises Unreachable when it does not answer in time, or says that it cannot."""
        ask = OutcomesAsk(ask=uuid4(), count=count)
        told: asyncio.Future[OutcomesTold] = asyncio.get_running_loop().create_future()
        self._open[ask.ask] = told
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._link.publish(PIPELINE_ASK.to(edge=edge, pipeline=pipeline), ask.to_wire(), qos=0)
                answer = await told
        except TimeoutError as error:
            raise Unreachable(f"{edge} did not answer within {PATIENCE_S:g} s") from error
        finally:
            del self._open[ask.ask]
        if answer.reason:
            raise Unreachable(f"{edge}: {answer.reason}")
        return answer

    def heard(self, told: OutcomesTold) -> None:
        """An edge has answered; an answer that nobody waits for any more is forgotten."""
        asked = self._open.get(told.ask)
        if asked is not None and not asked.done():
            asked.set_result(told)
