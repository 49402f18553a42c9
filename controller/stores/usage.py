"""What the kept runs of a job took together."""

from sqlalchemy import func, select
from sqlmodel import Session, col

from controller.stores.tables import RunRow
from schemas.runs import RunState
from schemas.views import JobUsage

_SUMS = "cpu_s", "energy_kwh", "co2e_kg", "fetched_bytes", "cached_bytes"


def usage_of(session: Session, *, job: str | None = None) -> JobUsage:
    """The sums over a job's runs, or over all of every job; those that were skipped took nothing and do not count."""
    sums = [func.coalesce(func.sum(getattr(RunRow, name)), 0) for name in _SUMS]
    wanted = select(func.count(), *sums).where(col(RunRow.state) != RunState.SKIPPED)
    if job is not None:
        wanted = wanted.where(col(RunRow.job) == job)
    runs, *took = session.connection().execute(wanted).one()
    return JobUsage(runs=runs, **dict(zip(_SUMS, took, strict=True)))
