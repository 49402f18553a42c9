"""Sees to it that what a run publishes arrives, for as long as that takes."""

import asyncio
import logging

from pipeline_runtime.broker import Broker, Publication
from schemas.errors import Unreachable

log = logging.getLogger(__name__)

PAUSE_S = 1.0  # after a try that failed at once


async def deliver(broker: Broker, publication: Publication) -> None:
    """Publish, again and again while the broker is away; the number of runs in flight bounds what may wait here.

    A run whose answer waits here is not acknowledged, so nothing is lost if the worker ends meanwhile.
    """
    while True:
        try:
            return await broker.publish(publication)
        except Unreachable as error:
            log.warning("publication is tried again", extra={"topic": publication.topic, "reason": str(error)})
            await asyncio.sleep(PAUSE_S)
