"""A job as the API tells it: when it is due next, what its triggers saw, what its runs took, why it is not running."""

from datetime import datetime
from textwrap import shorten

from sqlmodel import Session

from controller.runs.steps import Run
from controller.runs.trigger_rules import described
from controller.schedule import next_fires
from controller.stores.jobs import get_job
from controller.stores.runs import last_row, live_runs
from controller.stores.tables import JobRow, RunRow
from controller.stores.triggers import seen_by
from controller.stores.usage import usage_of
from controller.views import reason_of
from schemas.jobs import JobSpec
from schemas.runs import RunState
from schemas.schedules import NewRows, Trigger
from schemas.views import JobView, TriggerView

_SHOWN = 5  # times that are told ahead
_LONGEST_WHY = 500


def job_view(session: Session, name: str) -> JobView:
    """A job. Raises NotFound."""
    row, spec = get_job(session, name=name)
    live, last = live_runs(session, job=name), last_row(session, job=name)
    triggers = _triggers(session, spec)
    return JobView(
        spec=spec,
        created_at=row.created_at,
        next_fire_at=row.next_fire_at,
        next_fires=_next_fires(row, spec),
        triggers=triggers,
        usage=usage_of(session, job=name),
        live_runs=len(live),
        last_run=last.id if last else None,
        last_run_state=RunState(last.state) if last else None,
        why=in_a_line(_live(live[0], reason_of(session, live[0])) if live else _rest(row, spec, last, triggers)),
    )


def in_a_line(text: str) -> str:
    """A reason as one line: what an installer says may have dozens, and stands at its run."""
    return shorten(text, _LONGEST_WHY, placeholder=" …")


def _live(run: Run, reason: str) -> str:
    return f"run {run.id} is {run.state}: {reason}"


def _next_fires(row: JobRow, spec: JobSpec) -> tuple[datetime, ...]:
    if row.next_fire_at is None or spec.schedule is None:
        return ()
    following = next_fires(spec.schedule, anchor=row.anchor_at, after=row.next_fire_at, count=_SHOWN - 1)
    return (row.next_fire_at, *following)


def _rest(row: JobRow, spec: JobSpec, last: RunRow | None, triggers: tuple[TriggerView, ...]) -> str:
    """Why nothing of it runs now, and what came of it last if that was nothing."""
    if spec.paused:
        why = f"it is paused: `tidemill job resume {spec.name}`"
    elif row.next_fire_at is not None:
        also = f", or with {_awaited(triggers)}" if triggers else ""
        why = f"it is due at {row.next_fire_at:%Y-%m-%d %H:%M:%S} UTC{also}"
    elif triggers:
        why = f"it waits for {_awaited(triggers)}"
    elif spec.schedule is not None and spec.schedule.at is not None:
        why = f"its schedule is over: it was due at {spec.schedule.at}"
    elif spec.schedule is not None:
        why = "its schedule is over"
    else:
        why = "it has no schedule: `tidemill job run` starts it"
    if last is not None and last.state != RunState.SUCCEEDED:
        why += f"; the last run was {last.state}: {last.reason}"
    return why


def _awaited(triggers: tuple[TriggerView, ...]) -> str:
    return " or ".join(f"{trigger.text} (so far: {trigger.seen})" for trigger in triggers)


def _triggers(session: Session, spec: JobSpec) -> tuple[TriggerView, ...]:
    return tuple(
        TriggerView(
            text=described(trigger), seen=row.problem or _seen(trigger, row.value), next_look_at=row.next_look_at
        )
        for trigger, row in seen_by(session, spec=spec)
    )


def _seen(trigger: Trigger, value: float | None) -> str:
    if value is None:
        return "not looked yet" if isinstance(trigger, NewRows) else "no number yet"
    return f"{value:.0f} new rows" if isinstance(trigger, NewRows) else f"{value:g}"
