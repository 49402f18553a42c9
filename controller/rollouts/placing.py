"""Which rollout's content an edge is told of, and which it would go back to."""

import json
from datetime import datetime

from sqlmodel import Session

from controller.rollouts.contents import Content
from controller.stores.edges import report_of
from controller.stores.rollouts import contents_on, get_rollout
from controller.stores.tables import EdgeRow, PlacementRow, RolloutRow
from schemas.rollouts import EdgeState, RolloutState


def place(session: Session, edge: EdgeRow, row: RolloutRow, before: PlacementRow | None, *, now: datetime) -> None:
    """Have an edge told of a rollout's content; what it had is what it would go back to. Caller commits."""
    placement = before or PlacementRow(deployment=row.deployment, edge=edge.name, rollout=row.number, placed_at=now)
    if before is not None and not _never_did(session, before):
        placement.previous = before.rollout
    _tell(session, placement, edge, row, "", now)


def go_back(session: Session, edge: EdgeRow, placement: PlacementRow, *, now: datetime) -> None:
    """Have an edge told of what it had before; one that had nothing has nothing again. Caller commits."""
    if placement.previous is None:
        session.delete(placement)
        session.flush()
        return
    row = get_rollout(session, deployment=placement.deployment, number=placement.previous)
    _tell(session, placement, edge, row, "goes back", now)


def overruled(session: Session, edge: str, content: Content) -> str:
    """Why an edge's manifest does not tell of content that is placed there: it has each pipeline once. Else empty."""
    wanted = content.pipeline
    if wanted is None:
        return ""
    others = (Content.model_validate_json(text).pipeline for text in contents_on(session, edge=edge))
    told = [other for other in others if other is not None and other.name == wanted.name][-1:]
    if not told or told[0].content_id == wanted.content_id:
        return ""
    return f"another deployment, of a later name, wants other content of pipeline {wanted.name} there"


def changing_since(edge: EdgeRow, placement: PlacementRow) -> datetime | None:
    """When an edge was both there and in the state that it is in; None if it does not know yet what it is told."""
    if not placement.state or placement.state_at is None:
        return None
    return max(placement.state_at, edge.since or placement.state_at)


def _tell(
    session: Session, placement: PlacementRow, edge: EdgeRow, row: RolloutRow, reason: str, now: datetime
) -> None:
    placement.rollout, placement.placed_at = row.number, now
    placement.generation = _first_generation(edge, Content.model_validate_json(row.content))
    placement.state, placement.reason, placement.state_at = "", reason, now
    session.add(placement)
    session.flush()


def _first_generation(edge: EdgeRow, content: Content) -> int:
    """The first manifest of an edge that tells it of content: the present one, if that does already."""
    if edge.wanted and _tells(json.loads(edge.wanted), content):
        return edge.generation
    report = report_of(edge)  # it may know a later one than we do, when this database is an older copy
    return max(edge.generation, report.generation if report else 0) + 1


def _tells(manifest: dict[str, list[dict[str, object]]], content: Content) -> bool:
    if content.pipeline is not None:
        wanted = content.pipeline
        pipelines = manifest.get("pipelines", ())
        return any((one["name"], one.get("content_id")) == (wanted.name, wanted.content_id) for one in pipelines)
    return content.model is not None and content.model.model_dump(mode="json") in manifest.get("models", ())


def _never_did(session: Session, placement: PlacementRow) -> bool:
    """Whether what an edge has is nothing to go back to: it never got there, while something before it did."""
    if placement.previous is None or placement.state == EdgeState.DEPLOYED:
        return False
    if placement.state == EdgeState.FAILED:
        return True
    return get_rollout(session, deployment=placement.deployment, number=placement.rollout).state != RolloutState.DONE
