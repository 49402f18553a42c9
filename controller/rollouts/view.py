"""From rows of rollouts to what the API answers."""

from sqlmodel import Session

from controller.rollouts.contents import Content, wish_of
from controller.rollouts.machine import Standing, in_time
from controller.rollouts.placing import changing_since, overruled
from controller.rollouts.standings import told_of
from controller.stores.edges import list_edges, report_of
from controller.stores.rollouts import get_rollout, newest_rollout, placements
from controller.stores.tables import EdgeRow, PlacementRow, RolloutRow
from controller.wanted import chooses
from schemas.deployment_views import DeployedView, DeploymentView, RolloutView
from schemas.deployments import DeploymentSpec, RolloutPlan
from schemas.rollouts import EdgeState, RolloutState


def rollout_view(row: RolloutRow) -> RolloutView:
    """A rollout."""
    content = Content.model_validate_json(row.content)
    return RolloutView(
        number=row.number,
        state=RolloutState(row.state),
        reason=row.reason,
        cause=row.cause,
        by=row.by,
        step=row.step,
        plan=RolloutPlan.model_validate_json(row.plan),
        pipeline_version=content.pipeline.version if content.pipeline else None,
        models=content.models,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def deployment_view(session: Session, spec: DeploymentSpec) -> DeploymentView:
    """A deployment, its newest rollout, and per edge what it wants there and whether that is so."""
    newest, placed = newest_rollout(session, deployment=spec.name), placements(session, deployment=spec.name)
    waits, models = "", {}
    try:
        models = wish_of(session, spec).models
    except LookupError as error:
        waits = str(error.args[0])
    edges = [edge for edge in list_edges(session) if chooses(spec, edge)]
    return DeploymentView(
        spec=spec,
        models=models,
        waits=waits,
        rollout=rollout_view(newest) if newest else None,
        edges={edge.name: _deployed(session, edge, placed.get(edge.name), waits) for edge in edges},
    )


def _deployed(session: Session, edge: EdgeRow, placement: PlacementRow | None, waits: str) -> DeployedView:
    if placement is None:
        return DeployedView(state=EdgeState.LATER, reason=waits, online=edge.online)
    row = get_rollout(session, deployment=placement.deployment, number=placement.rollout)
    content = Content.model_validate_json(row.content)
    state, reason = _state_of(session, edge, placement, row, content)
    return DeployedView(
        state=state,
        reason=reason,
        online=edge.online,
        rollout=placement.rollout,
        previous=placement.previous,
        generation=placement.generation,
        models=content.models,
        pipeline_version=content.pipeline.version if content.pipeline else None,
        placed_at=placement.placed_at,
        since=placement.state_at if (placement.state or EdgeState.CHANGING) == state else None,
    )


def _state_of(
    session: Session, edge: EdgeRow, placement: PlacementRow, row: RolloutRow, content: Content
) -> tuple[EdgeState, str]:
    state, reason, _ = told_of(content, report_of(edge), generation=placement.generation)
    if state is not EdgeState.CHANGING:
        return state, reason
    if not edge.online:
        return EdgeState.LATER, "it is offline"
    reason = overruled(session, edge.name, content) or reason
    standing = Standing(
        edge=edge.name,
        placed=True,
        online=True,
        state=state,
        reason=reason,
        since=changing_since(edge, placement),
        heard_at=edge.reported_at,
    )
    judged = in_time(RolloutPlan.model_validate_json(row.plan), standing)
    return judged.state, judged.reason
