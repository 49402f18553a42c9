"""Which rows of the past are forgotten: runs and model versions beyond those that their job keeps."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func
from sqlmodel import Session, col, select

from controller.rollouts.contents import references
from controller.stores.model_uses import uses_of
from controller.stores.models import last_of_job
from controller.stores.tables import AliasRow, JobRow, PipelineRow, RunRow, VersionRow
from schemas.jobs import JobSpec, Keep
from schemas.names import model_ref
from schemas.pipelines import PipelineSpec
from schemas.runs import LIVE, RunState

MOST_AT_ONCE = 200
"""How many rows of a kind one transaction deletes, so that no other writer waits long."""

_ENDED = [state for state in RunState if state not in LIVE]

_COUNTED = [state for state in _ENDED if state is not RunState.SKIPPED]
"""The runs that ``keep.runs`` counts; of the skipped ones, ``save_step`` itself keeps the newest."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What one transaction deleted."""

    runs: tuple[tuple[UUID, int], ...] = ()  # with the number of attempts of each
    versions: int = 0

    def __bool__(self) -> bool:
        return bool(self.runs or self.versions)


def crowded(session: Session, *, jobs: Collection[str] | None = None) -> list[str]:
    """The jobs, among these or all, of which there may be more runs or versions than they keep."""
    keeps = _keeps(session, jobs)
    of_jobs = _among(RunRow.job, jobs)
    runs = select(RunRow.job, func.count()).where(col(RunRow.state).in_(_COUNTED), *of_jobs).group_by(col(RunRow.job))
    found = {job for job, count in session.exec(runs) if job in keeps and count > keeps[job].runs}
    of_jobs = _among(VersionRow.job, jobs)
    made = select(VersionRow.job, func.count()).where(col(VersionRow.job).is_not(None), *of_jobs)
    for job, count in session.exec(made.group_by(col(VersionRow.job), col(VersionRow.model))):
        if job in keeps and count > (keeps[job].versions or count):
            found.add(job)
    return sorted(found)


def forget(session: Session, *, job: str) -> Forgotten:
    """Delete some of the runs and versions that a job does not keep; nothing when none is left. Caller commits."""
    row = session.get(JobRow, job)
    if row is None:
        return Forgotten()
    keep = JobSpec.model_validate_json(row.spec).keep
    runs = _forget_runs(session, RunRow.job == job, keep.runs, _COUNTED)
    return Forgotten(runs, _forget_versions(session, job, keep.versions))


def forget_deleted(session: Session) -> Forgotten:
    """Delete some of the runs whose jobs are deleted, beyond those that one job keeps by default. Caller commits.

    Skipped ones count too: of a deleted job none is added any more, so nothing else would ever forget them.
    """
    orphaned = col(RunRow.job).not_in(select(JobRow.name))
    return Forgotten(_forget_runs(session, orphaned, Keep().runs, _ENDED))


def _keeps(session: Session, jobs: Collection[str] | None) -> dict[str, Keep]:
    wanted = select(JobRow.name, JobRow.spec).where(*_among(JobRow.name, jobs))
    return {name: Keep.model_validate(json.loads(spec).get("keep", {})) for name, spec in session.exec(wanted)}


def _forget_runs(
    session: Session, which: ColumnElement[bool] | bool, keep: int, states: Collection[RunState]
) -> tuple[tuple[UUID, int], ...]:
    """The oldest go. A run that is reproduced at the moment stays: its data is needed."""
    replayed = select(RunRow.replays).where(col(RunRow.state).in_(LIVE), col(RunRow.replays).is_not(None))
    ended = select(RunRow.id, RunRow.attempt).where(
        which, col(RunRow.state).in_(states), col(RunRow.id).not_in(replayed)
    )
    newest_first = ended.order_by(col(RunRow.created_at).desc(), col(RunRow.id).desc())
    old = tuple(session.exec(newest_first.offset(keep).limit(MOST_AT_ONCE)))
    if old:
        session.connection().execute(delete(RunRow).where(col(RunRow.id).in_([run_id for run_id, _ in old])))
    return old


def _forget_versions(session: Session, job: str, keep: int | None) -> int:
    """In each model, the newest of the job's versions stay, and every one that is in use or would be gone back to."""
    if keep is None:
        return 0
    of_job = VersionRow.job == job
    many = select(VersionRow.model).where(of_job).group_by(col(VersionRow.model)).having(func.count() > keep)
    gone = 0
    for model in session.exec(many).all():
        numbers = select(VersionRow.version).where(of_job, VersionRow.model == model)
        beyond = session.exec(numbers.order_by(col(VersionRow.version).desc()).offset(keep)).all()
        used = set(_used(session, job, model))
        old = [version for version in reversed(beyond) if version not in used][: MOST_AT_ONCE - gone]
        this = col(VersionRow.model) == model, col(VersionRow.version).in_(old)
        gone += session.connection().execute(delete(VersionRow).where(*this)).rowcount if old else 0
    return gone


def _used(session: Session, job: str, model: str) -> Iterator[int]:
    """The versions of a model that are in use: something needs them, or may go back to them."""
    yield from (use.version for use in uses_of(session, model=model) if use.version is not None)
    before = select(AliasRow.previous).where(AliasRow.model == model, col(AliasRow.previous).is_not(None))
    yield from (version for version in session.exec(before) if version is not None)
    last = last_of_job(session, job=job)
    if last is not None and last.name == model:
        yield last.version
    for ref in _asked(session, f'"{model}:'):
        name, which = model_ref(ref)
        if name == model and isinstance(which, int):
            yield which


def _asked(session: Session, part: str) -> Iterator[str]:
    """How pipelines that hold this text name models, in all their versions: an old one may be applied again."""
    for text in session.exec(select(PipelineRow.spec).where(col(PipelineRow.spec).contains(part, autoescape=True))):
        yield from (ref for kind, ref in references(PipelineSpec.model_validate_json(text)) if kind == "model")


def _among(column: str | None, values: Collection[str] | None) -> list[ColumnElement[bool]]:
    """The condition that a column has one of these values; none at all for None."""
    return [] if values is None else [col(column).in_(values)]
