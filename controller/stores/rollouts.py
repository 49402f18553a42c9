"""Rollouts and placements in the control database."""

from datetime import datetime

from sqlalchemy import delete
from sqlmodel import Session, col, select

from controller.rollouts.machine import Rollout
from controller.stores.tables import PlacementRow, RolloutRow
from schemas.deployments import RolloutPlan
from schemas.errors import NotFound
from schemas.rollouts import LIVE, RolloutState

KEPT = 50
"""Of each deployment, beside those that are in use."""


def newest_rollout(session: Session, *, deployment: str) -> RolloutRow | None:
    """The deployment's newest rollout."""
    wanted = select(RolloutRow).where(RolloutRow.deployment == deployment)
    return session.exec(wanted.order_by(col(RolloutRow.number).desc()).limit(1)).first()


def rollouts(session: Session, *, deployment: str) -> list[RolloutRow]:
    """The deployment's rollouts, newest first."""
    wanted = select(RolloutRow).where(RolloutRow.deployment == deployment)
    return list(session.exec(wanted.order_by(col(RolloutRow.number).desc())))


def last_done(session: Session, *, deployment: str) -> RolloutRow | None:
    """The newest of those that were done."""
    wanted = select(RolloutRow).where(RolloutRow.deployment == deployment, RolloutRow.state == RolloutState.DONE)
    return session.exec(wanted.order_by(col(RolloutRow.number).desc()).limit(1)).first()


def get_rollout(session: Session, *, deployment: str, number: int) -> RolloutRow:
    """One of them. Raises NotFound."""
    row = session.get(RolloutRow, (deployment, number))
    if row is None:
        raise NotFound(f"deployment {deployment} has no rollout {number}")
    return row


def placements(session: Session, *, deployment: str) -> dict[str, PlacementRow]:
    """Which rollout's content the deployment wants where, by edge."""
    rows = session.exec(select(PlacementRow).where(PlacementRow.deployment == deployment))
    return {row.edge: row for row in rows}


def contents_on(session: Session, *, edge: str) -> list[str]:
    """The contents that deployments want on an edge, as JSON, by the deployments' names."""
    wanted = (
        select(RolloutRow.content)
        .join(
            PlacementRow,
            (col(PlacementRow.deployment) == col(RolloutRow.deployment))
            & (col(PlacementRow.rollout) == col(RolloutRow.number)),
        )
        .where(PlacementRow.edge == edge)
        .order_by(col(PlacementRow.deployment))
    )
    return list(session.exec(wanted))


def to_rollout(row: RolloutRow) -> Rollout:
    """A rollout as the machine sees it."""
    return Rollout(
        number=row.number,
        plan=RolloutPlan.model_validate_json(row.plan),
        state=RolloutState(row.state),
        reason=row.reason,
        step=row.step,
        step_at=row.step_at,
        approved=row.approved,
    )


def save_rollout(session: Session, row: RolloutRow, after: Rollout, *, now: datetime) -> bool:
    """Write what became of a rollout; False if nothing did. Caller commits."""
    if to_rollout(row) == after:
        return False
    row.state, row.reason, row.approved = after.state, after.reason, after.approved
    row.step, row.step_at = after.step, after.step_at
    row.ended_at = None if after.state in LIVE else row.ended_at or now
    row.revision += 1
    session.add(row)
    return True


def contents_in_use(session: Session) -> list[str]:
    """The contents that edges have, would go back to or are moved to: what they name must not be forgotten."""
    names = session.exec(select(RolloutRow.deployment).distinct()).all()
    found = ((rollouts(session, deployment=name), _in_use(session, name)) for name in names)
    return [row.content for rows, used in found for row in rows if row.number in used]


def _in_use(session: Session, deployment: str) -> set[int]:
    """Those that are placed, the newest, and the last two that were done with different contents: a rollback's aim."""
    placed, rows = placements(session, deployment=deployment).values(), rollouts(session, deployment=deployment)
    used = {number for row in placed for number in (row.rollout, row.previous) if number is not None}
    done = [row for row in rows if row.state == RolloutState.DONE]
    others = [row for row in done if row.content != done[0].content]
    return used | {row.number for row in (*rows[:1], *done[:1], *others[:1])}


def forget_rollouts(session: Session, *, deployment: str) -> None:
    """Delete those beyond the newest that are not in use. Caller commits."""
    kept = _in_use(session, deployment)
    old = [row.number for row in rollouts(session, deployment=deployment)[KEPT:] if row.number not in kept]
    this = col(RolloutRow.deployment) == deployment, col(RolloutRow.number).in_(old)
    if old:
        session.connection().execute(delete(RolloutRow).where(*this))


def forget_deployment(session: Session, *, deployment: str) -> None:
    """Delete all of a deployment that is deleted. Caller commits."""
    for table in (RolloutRow, PlacementRow):
        session.connection().execute(delete(table).where(col(table.deployment) == deployment))
