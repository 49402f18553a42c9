"""Runs a command's asynchronous work, and lets its error out as if it were not."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from schemas.errors import TidemillError

Result = TypeVar("Result")


def run_plainly(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work. Raises the first TidemillError out of the group of errors that a TaskGroup makes of it."""
    failure: BaseException
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as errors:
        ours, others = errors.split(TidemillError)
        if ours is None or others is not None:
            raise
        failure = ours
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    raise failure
