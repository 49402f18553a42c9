"""Sees to it that what a pipeline publishes arrives, for as long as that takes."""

import asyncio
import logging

from pipeline_runtime.broker import Broker, Publication, Told
from schemas.errors import TidemillError, Unreachable

log = logging.getLogger(__name__)

PAUSE_S = 1.0  # after a try that failed


def tried_again(broker: Broker, publication: Publication, told: Told, error: TidemillError) -> bool:
    """Publish again soon what did not arrive because the broker is away; False if that is not why.

    The number of runs in flight bounds what may wait here. A run whose answer does is not acknowledged, so nothing is
    lost if the worker ends meanwhile.
    """
    if not isinstance(error, Unreachable):
        return False
    log.warning("publication is tried again", extra={"topic": publication.topic, "reason": str(error)})
    asyncio.get_running_loop().call_later(PAUSE_S, broker.publish, publication, told)
    return True
