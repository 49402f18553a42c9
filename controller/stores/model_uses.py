"""What needs a model: by name, by one of its aliases, or by the number of a version."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlmodel import Session, col, or_, select

from controller.rollouts.contents import references
from controller.stores.model_places import reported_of, rolled_out, sent
from controller.stores.serving import list_deployments, newest_specs
from controller.stores.tables import AliasRow, JobRow, RunRow
from schemas.names import model_ref
from schemas.runs import LIVE


@dataclass(frozen=True, slots=True)
class Use:
    """Something that needs a model."""

    what: str  # such as: deployment scoring (iris@champion)
    version: int | None = None  # it needs this one
    alias: str | None = None  # it needs whatever this one stands for
    own: bool = False  # it goes with the model


def uses_of(session: Session, *, model: str) -> list[Use]:
    """All that needs a model, in words, each once."""
    found = [
        *_aliases(session, model),
        *_named(session, model),
        *_jobs(session, model),
        *_live_runs(session, model),
        *_edges(session, model),
        *(Use(f"{what} (version {version})", version) for version, what in rolled_out(session, model=model)),
    ]
    return list(dict.fromkeys(found))


def uses_of_alias(session: Session, *, model: str, alias: str) -> list[str]:
    """All that follows an alias."""
    return [use.what for use in uses_of(session, model=model) if use.alias == alias]


def _aliases(session: Session, model: str) -> Iterator[Use]:
    for row in session.exec(select(AliasRow).where(AliasRow.model == model).order_by(AliasRow.alias)):
        yield Use(f"alias {row.alias} stands for it", row.version, own=True)


def _use(what: str, ref: str, model: str) -> Iterator[Use]:
    name, which = model_ref(ref)
    if name == model:
        version, alias = (which, None) if isinstance(which, int) else (None, which)
        yield Use(f"{what} ({ref})", version, alias)


def _named(session: Session, model: str) -> Iterator[Use]:
    for deployment in list_deployments(session):
        if deployment.model is not None:
            yield from _use(f"deployment {deployment.name} wants it", deployment.model, model)
    for pipeline in newest_specs(session):
        for kind, ref in references(pipeline):
            if kind == "model":
                yield from _use(f"pipeline {pipeline.name} asks it", ref, model)


def _jobs(session: Session, model: str) -> Iterator[Use]:
    part = f'"{model}'
    for name, text in session.exec(
        select(JobRow.name, JobRow.spec).where(col(JobRow.spec).contains(part, autoescape=True)).order_by(JobRow.name)
    ):
        spec = json.loads(text)
        if spec["model"] == model:
            yield Use(f"job {name} trains it")
        if spec.get("base_model"):
            yield from _use(f"job {name} has it as its base", spec["base_model"], model)


def _live_runs(session: Session, model: str) -> Iterator[Use]:
    named = or_(
        col(RunRow.spec).contains(f'"{model}', autoescape=True),
        col(RunRow.base_model).startswith(f"{model}:", autoescape=True),
    )
    live = select(RunRow).where(col(RunRow.state).in_(LIVE), named).order_by(col(RunRow.created_at))
    for run in session.exec(live):
        spec = json.loads(run.spec)
        what = f"run {run.id} of job {run.job}"
        if spec["model"] == model:
            yield Use(f"{what} trains it")
            if run.base_version is not None:
                yield Use(f"{what} goes on from version {run.base_version}", run.base_version)
        base = run.base_model or spec.get("base_model")
        if base:
            yield from _use(f"{what} has it as its base", base, model)


def _edges(session: Session, model: str) -> Iterator[Use]:
    for edge, version in sent(session, model=model):
        yield Use(f"edge {edge} shall hold version {version}", version)
    for place in reported_of(session, model=model):
        doing = "holds" if not place.pipeline else f"answers in pipeline {place.pipeline} with"
        yield Use(f"edge {place.edge} {doing} version {place.version}", place.version)
