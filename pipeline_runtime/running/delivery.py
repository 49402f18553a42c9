"""Sees to it that what a run publishes arrives, for as long as that takes."""

import asyncio
import logging
from functools import partial

from pipeline_runtime.broker import Broker, Publication, Told
from schemas.errors import TidemillError, Unreachable

log = logging.getLogger(__name__)

PAUSE_S = 1.0  # after a try that failed


def deliver(broker: Broker, publication: Publication, told: Told) -> None:
    """Publish, again and again while the broker is away; the number of runs in flight bounds what may wait here.

    A run whose answer waits here is not acknowledged, so nothing is lost if the worker ends meanwhile. Raises TooLarge.
    """
    broker.publish(publication, partial(_told, broker, publication, told))


def _told(broker: Broker, publication: Publication, told: Told, error: TidemillError | None) -> None:
    if isinstance(error, Unreachable):
        log.warning("publication is tried again", extra={"topic": publication.topic, "reason": str(error)})
        asyncio.get_running_loop().call_later(PAUSE_S, deliver, broker, publication, told)
    else:
        told(error)
