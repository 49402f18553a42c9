"""Lets the runs of a job go on one after the other, as its overlap policy says."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from controller.runs.overlap import take_turn
from controller.runs.steps import CancelAsked, Event, Run
from controller.stores.live_runs import rivals


def turn_of(session: Session, run: Run, now: datetime) -> list[tuple[UUID, Event]]:
    """What becomes of a run whose time has come; decide it in the transaction that saves it, for one goes at a time."""
    turn = take_turn(run.job.overlap, run.scheduled_at, rivals(session, run=run, now=now))
    reason = f"run {run.id} of the same job is due (overlap: cancel_previous)"
    return [*((other, CancelAsked(reason)) for other in turn.cancelled), (run.id, turn.event)]
