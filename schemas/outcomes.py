"""Asking an edge what became of the last messages of a pipeline."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.names import Name
from schemas.pipelines import Outcome
from schemas.wire import Wire

MOST_OUTCOMES = 25  # that a worker keeps


class OutcomesAsk(Wire):
    """Controller → edge."""

    ask: UUID
    count: Annotated[int, Field(ge=1, le=MOST_OUTCOMES)]


class OutcomesTold(Wire):
    """Edge → controller: newest first, as many as fit into a message."""

    ask: UUID
    pipeline: Name
    outcomes: tuple[Outcome, ...] = ()
    reason: str = ""  # why there are none
