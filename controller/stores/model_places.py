"""Where versions of models are: on which edges by their own reports, and in which documents that edges are sent."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from controller.stores.edges import report_of
from controller.stores.tables import EdgeRow, PlacementRow, RolloutRow
from schemas.names import model_ref
from schemas.report import ModelState


@dataclass(frozen=True, slots=True)
class Place:
    """A version of a model that answers in a pipeline on an edge, or that the edge only holds."""

    model: str
    version: int
    edge: str
    pipeline: str = ""  # empty: it is held, and ready


def reported(session: Session) -> dict[tuple[str, int], list[Place]]:
    """By model and version, where it is by the edges' last reports, each edge and pipeline once."""
    found: dict[tuple[str, int], list[Place]] = {}
    for place in dict.fromkeys(_reported(_edges(session))):
        found.setdefault((place.model, place.version), []).append(place)
    return found


def reported_of(session: Session, *, model: str) -> list[Place]:
    """Where the versions of one model are; the reports of edges that name it not are not read."""
    naming = col(EdgeRow.report).contains(f'"{model}', autoescape=True)
    return [place for place in dict.fromkeys(_reported(_edges(session, naming))) if place.model == model]


def sent(session: Session, *, model: str) -> Iterator[tuple[str, int]]:
    """Each edge whose manifest holds a version of a model, with that version."""
    naming = col(EdgeRow.wanted).contains(f'"{model}"', autoescape=True)
    for edge in _edges(session, naming):
        yield from ((edge.name, version) for name, version in sorted(wanted_in(edge.wanted)) if name == model)


def _edges(session: Session, *where: ColumnElement[bool]) -> Iterable[EdgeRow]:
    """The edges that are told anything, by name."""
    return session.exec(select(EdgeRow).where(col(EdgeRow.revoked_at).is_(None), *where).order_by(EdgeRow.name))


def _reported(edges: Iterable[EdgeRow]) -> Iterator[Place]:
    for edge in edges:
        report = report_of(edge)
        if report is None:
            continue
        for pipeline in report.pipelines:
            for ref, version in pipeline.models.items():
                yield Place(model_ref(ref)[0], version, edge.name, pipeline.name)
        for held in report.models:
            if held.state is ModelState.READY:
                yield Place(held.name, held.version, edge.name)


def rolled_out(session: Session, *, model: str) -> Iterator[tuple[int, str]]:
    """The versions of a model in what edges are moved to, have been moved to, or would go back to, and who says so."""
    placements = session.exec(select(PlacementRow).order_by(col(PlacementRow.deployment), col(PlacementRow.edge))).all()
    now = {(row.deployment, row.rollout): row.edge for row in reversed(placements)}
    back = {(row.deployment, row.previous): row.edge for row in reversed(placements)}
    named = select(RolloutRow).where(col(RolloutRow.content).contains(f'"{model}"', autoescape=True))
    for row in session.exec(named.order_by(col(RolloutRow.deployment), col(RolloutRow.number))):
        key = row.deployment, row.number
        if row.ended_at is None:
            what = f"rollout {row.number} of deployment {row.deployment} goes on"
        elif key in now:
            what = f"rollout {row.number} of deployment {row.deployment} put it on {now[key]}"
        elif key in back:
            what = f"deployment {row.deployment} would go back to its rollout {row.number} on {back[key]}"
        else:
            continue
        yield from ((version, what) for name, version in sorted(wanted_in(row.content)) if name == model)


def wanted_in(document: str) -> set[tuple[str, int]]:
    """The model versions, by name and number, that a manifest or a part of one holds."""
    return set(_wanted_in(json.loads(document))) if document else set()


def _wanted_in(value: object) -> Iterator[tuple[str, int]]:
    """Each ``WantedModel``, wherever it stands: also where a later schema puts it."""
    if isinstance(value, list):
        for item in value:
            yield from _wanted_in(item)
    elif isinstance(value, dict):
        if {"name", "version", "card"} <= value.keys():
            yield value["name"], value["version"]
        for item in value.values():
            yield from _wanted_in(item)
