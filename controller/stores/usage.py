"""What runs took together: processor, energy, and bytes that were fetched or were there already."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from controller.stores.tables import RunRow
from schemas.runs import RunState
from schemas.views import JobUsage, UsageView

_SUMS = ("cpu_s", "energy_kwh", "co2e_kg", "fetched_bytes", "cached_bytes")
_DID_SOMETHING = col(RunRow.state) != RunState.SKIPPED


def usage_of(session: Session, *, job: str) -> JobUsage:
    """The sums over a job's kept runs; those that were skipped took nothing and do not count."""
    wanted = select(func.count(), *_sums()).where(_DID_SOMETHING, col(RunRow.job) == job)
    return _usage(session.connection().execute(wanted).one())


def usage_of_all(session: Session) -> UsageView:
    """The sums over the kept runs of each job, of deleted ones too, and over all."""
    of_each = select(col(RunRow.job), func.count(), *_sums()).where(_DID_SOMETHING).group_by(col(RunRow.job))
    jobs = {job: _usage(took) for job, *took in session.connection().execute(of_each.order_by(col(RunRow.job)))}
    total = select(func.count(), *_sums()).where(_DID_SOMETHING)
    return UsageView(total=_usage(session.connection().execute(total).one()), jobs=jobs)


def _sums() -> list[ColumnElement[float]]:
    return [func.coalesce(func.sum(getattr(RunRow, name)), 0) for name in _SUMS]


def _usage(counted: Sequence[float]) -> JobUsage:
    runs, *took = counted
    return JobUsage(runs=int(runs), **dict(zip(_SUMS, took, strict=True)))
