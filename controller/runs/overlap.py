"""Whose turn it is among the runs of one job: one goes at a time. Pure.

A run that has been *admitted* goes on until it ends. The others take their turn in the order of their ticks, once their
own time (jitter) has come. Rows are selected only then, so that a run sees the watermarks of the one before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from controller.runs.steps import Admitted, Refused, Waits
from schemas.schedules import OverlapPolicy


@dataclass(frozen=True, slots=True)
class Rival:
    """Another live run of the same job, whose time has come."""

    id: UUID
    scheduled_at: datetime
    admitted: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of a run whose time has come, and the runs that make room for it."""

    event: Admitted | Refused | Waits
    cancelled: tuple[UUID, ...] = ()


def take_turn(overlap: OverlapPolicy, scheduled_at: datetime, rivals: Iterable[Rival]) -> Turn:
    """Decide for the run of one tick, given the other live runs of its job."""
    ahead = sorted(
        (rival for rival in rivals if rival.admitted or rival.scheduled_at < scheduled_at),
        key=lambda rival: (not rival.admitted, rival.scheduled_at),
    )
    if not ahead:
        return Turn(Admitted())
    first, waiting = ahead[0], len(ahead) - 1
    match overlap.policy:
        case "skip":
            return Turn(Refused(f"run {first.id} of the same job is still under way (overlap: skip)"))
        case "queue" if waiting >= overlap.most:
            return Turn(Refused(f"{waiting} runs wait for run {first.id} of the same job already (overlap: queue)"))
        case "queue":
            others = f", behind {waiting} more" if waiting else ""
            return Turn(Waits(f"waits for run {first.id} of the same job{others}"))
        case "cancel_previous":
            newer = [rival for rival in ahead if rival.scheduled_at > scheduled_at]
            if newer:
                return Turn(Refused(f"run {newer[0].id} of the same job is newer (overlap: cancel_previous)"))
            return Turn(Admitted(), tuple(rival.id for rival in ahead))
