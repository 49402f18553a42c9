"""Which version answered where and when, in the control database, as edges report it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func
from sqlmodel import Session, col, or_, select

from controller.stores.changes import note_change
from controller.stores.tables import ServingRow
from schemas.names import model_ref
from schemas.report import PipelineState, PipelineStatus, Report

KEPT = 100_000

_ANSWERING = frozenset({PipelineState.LISTENING, PipelineState.DEGRADED})


@dataclass(frozen=True, slots=True)
class _Answering:
    """A pipeline, or a model in it, that answers."""

    pipeline: str
    pipeline_version: int
    ref: str  # to the model, as the nodes write it; empty: the pipeline itself
    version: int
    since: datetime

    @property
    def place(self) -> tuple[str, str]:
        """What is in the same place when another version answers."""
        return self.pipeline, self.ref

    @property
    def model(self) -> str:
        """The model's name."""
        return model_ref(self.ref)[0] if self.ref else ""


def note_servings(session: Session, *, report: Report, before: datetime | None, now: datetime) -> None:
    """Note what answers on an edge from now on, if that has changed. Caller commits.

    An edge that is away goes on answering: only what it reports when it is back ends that. What changed meanwhile is
    noted as of when the edge says that it was, if that lies between its two reports.

    Args:
        session: of the report itself.
        report: what the edge says.
        before: when it reported last.
        now: the controller's time.
    """
    wanted = select(ServingRow).where(ServingRow.edge == report.edge, col(ServingRow.until).is_(None))
    standing = {(row.pipeline, row.ref): row for row in session.exec(wanted)}
    found = {one.place: one for status in report.pipelines for one in _answering(status, before, now)}
    for place, row in standing.items():
        one = found.get(place)
        if one is None or (one.version, one.pipeline_version) != (row.version, row.pipeline_version):
            row.until = one.since if one else now
            session.add(row)
    for place, one in found.items():
        was = standing.get(place)
        if was is None or was.until is not None:
            _begin(session, report.edge, one)
            if was is None or was.version != one.version:
                _tell(session, report.edge, one, f"{was.version} → {one.version}" if was else str(one.version))


def servings(session: Session, *, edge: str | None, model: str | None, at: datetime | None) -> list[ServingRow]:
    """What answered: on an edge or on all, of one model or of all, at a moment or ever; the newest first."""
    wanted = select(ServingRow).order_by(col(ServingRow.since).desc(), col(ServingRow.id).desc())
    if edge is not None:
        wanted = wanted.where(ServingRow.edge == edge)
    if model is not None:
        wanted = wanted.where(ServingRow.model == model)
    if at is not None:
        wanted = wanted.where(
            col(ServingRow.since) <= at, or_(col(ServingRow.until).is_(None), col(ServingRow.until) > at)
        )
    return list(session.exec(wanted.limit(1000)))


def forget_servings(session: Session, *, kept: int = KEPT) -> int:
    """Delete what ended beyond the newest; returns how many went. Caller commits."""
    newest = session.exec(select(func.max(ServingRow.id))).one() or 0
    old = col(ServingRow.id) <= newest - kept, col(ServingRow.until).is_not(None)
    return session.connection().execute(delete(ServingRow).where(*old)).rowcount


def _answering(status: PipelineStatus, before: datetime | None, now: datetime) -> Iterator[_Answering]:
    if status.state not in _ANSWERING:
        return
    told = status.since_swap.since if status.since_swap else now
    since = told if before is not None and before <= told <= now else now
    yield _Answering(status.name, status.version, "", status.version, since)
    for ref, version in status.models.items():
        yield _Answering(status.name, status.version, ref, version, since)


def _begin(session: Session, edge: str, one: _Answering) -> None:
    session.add(
        ServingRow(
            edge=edge,
            pipeline=one.pipeline,
            pipeline_version=one.pipeline_version,
            ref=one.ref,
            model=one.model,
            version=one.version,
            since=one.since,
        )
    )


def _tell(session: Session, edge: str, one: _Answering, what: str) -> None:
    subject = f"model {one.model}" if one.ref else f"pipeline {one.pipeline}"
    where = f" as {one.ref} in pipeline {one.pipeline}" if one.ref else ""
    note_change(session, kind="answers", subject=subject, what=f"{what}{where}", at=one.since, edge=edge)
