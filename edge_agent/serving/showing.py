"""Answers the controller when it asks what became of a pipeline's last messages."""

import asyncio
import logging

from pydantic import ValidationError

from edge_agent.serving.pipelines import PipelineSupervisor
from schemas.errors import TidemillError, TooLarge
from schemas.names import EdgeName
from schemas.outcomes import OutcomesAsk, OutcomesTold
from schemas.topics import PIPELINE_ASK, PIPELINE_OUTCOMES
from transport.mqtt import Link, Message

log = logging.getLogger(__name__)


class Showing:
    """Follows the asks for this edge's pipelines."""

    def __init__(self, link: Link, supervisor: PipelineSupervisor, edge: EdgeName) -> None:
        self._link, self._supervisor, self._edge = link, supervisor, edge

    async def serve(self) -> None:
        """Answer until cancelled; a worker that takes its time holds up no other's answer."""
        asks = await self._link.subscribe_patiently(PIPELINE_ASK.filter(edge=self._edge), qos=0, queue_size=100)
        async with asyncio.TaskGroup() as tasks:
            async for message in asks:
                tasks.create_task(self._answer(message), name="tell what became of messages")

    async def _answer(self, message: Message) -> None:
        ids = PIPELINE_ASK.parse(message.topic) or {}
        try:
            ask = OutcomesAsk.model_validate_json(message.payload)
        except ValidationError as error:
            log.warning("ask refused", extra={"topic": message.topic, "reason": str(error)})
            return
        told = await self._told(ask, ids["pipeline"])
        try:
            await self._publish(told)
        except TidemillError as error:  # who asked gives up and may ask again
            log.info("answer not delivered", extra={"topic": message.topic, "reason": str(error)})

    async def _told(self, ask: OutcomesAsk, pipeline: str) -> OutcomesTold:
        try:
            outcomes = await self._supervisor.outcomes(pipeline, ask.count)
        except TidemillError as error:
            return OutcomesTold(ask=ask.ask, pipeline=pipeline, reason=str(error))
        return OutcomesTold(ask=ask.ask, pipeline=pipeline, outcomes=outcomes)

    async def _publish(self, told: OutcomesTold) -> None:
        topic = PIPELINE_OUTCOMES.to(edge=self._edge, pipeline=told.pipeline)
        while True:
            try:
                return await self._link.publish(topic, told.to_wire(), timeout_s=5.0)
            except TooLarge:
                if len(told.outcomes) < 2:
                    raise
                told = told.model_copy(update={"outcomes": told.outcomes[: len(told.outcomes) // 2]})
