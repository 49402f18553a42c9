"""When a deployment gets a new rollout: what it stands for has changed. And whether a person has to agree first."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from controller.rollouts.contents import Content, differences, wish_of
from controller.rollouts.machine import Rollout, begun
from controller.stores.changes import note_change
from controller.stores.rollouts import forget_rollouts, last_done
from controller.stores.tables import AliasMoveRow, RolloutRow
from schemas.deployments import DeploymentSpec
from schemas.names import ModelRef, model_ref
from schemas.rollouts import LIVE, RolloutState


def follow(
    session: Session, deployment: DeploymentSpec, newest: RolloutRow | None, *, now: datetime
) -> RolloutRow | None:
    """A new rollout, if the deployment stands for something else than the newest was made for. Caller commits."""
    try:
        wish = wish_of(session, deployment)
    except LookupError:
        return None
    text = wish.model_dump_json()
    if newest is not None and (newest.wish == text or _is_held(newest, wish)):
        return None
    base = _agreed(session, deployment, newest)
    if newest is not None and newest.state in LIVE:
        _supersede(session, newest, now)
    move = _move_behind(session, _changed(deployment, base, wish))
    wait = f"{move.reason or 'its alias was moved'}; a person has to approve" if move and not move.deploys else ""
    first = begun(newest.number + 1 if newest else 1, deployment.rollout, wait=wait)
    row = new_rollout(session, deployment, wish=text, content=text, first=first, now=now)
    before = Content.model_validate_json(newest.wish) if newest else None
    row.cause, row.by = differences(before, wish), move.by if move else ""
    subject, what = f"deployment {deployment.name}", f"{row.number} begins"
    note_change(session, kind="rollout", subject=subject, what=what, at=now, cause=row.cause, by=row.by)
    forget_rollouts(session, deployment=deployment.name)
    return row


def new_rollout(
    session: Session, deployment: DeploymentSpec, *, wish: str, content: str, first: Rollout, now: datetime
) -> RolloutRow:
    """Add a rollout. Caller commits."""
    row = RolloutRow(
        deployment=deployment.name,
        number=first.number,
        wish=wish,
        content=content,
        plan=first.plan.model_dump_json(),
        state=first.state,
        reason=first.reason,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def _is_held(newest: RolloutRow, wish: Content) -> bool:
    """Whether it is left at what a rollback or an abort came to: only another shadow would be new.

    The gate moves the alias of a shadow by itself, and that must not bring back what was found to be bad.
    """
    went_back = newest.state == RolloutState.ABORTED or newest.content != newest.wish
    return went_back and Content.model_validate_json(newest.wish).answering == wish.answering


def _agreed(session: Session, deployment: DeploymentSpec, newest: RolloutRow | None) -> Content | None:
    """What a person need not agree to again: the content that is begun with now, or that was done last.

    One that waits, or was aborted, is not: a change of something else beside it must not bring it in.
    """
    begun_with = newest is not None and newest.state in LIVE and newest.step > 0
    row = newest if begun_with else last_done(session, deployment=deployment.name)
    return Content.model_validate_json(row.content) if row is not None else None


def _supersede(session: Session, row: RolloutRow, now: datetime) -> None:
    row.state, row.ended_at, row.revision = RolloutState.SUPERSEDED, now, row.revision + 1
    row.reason = f"rollout {row.number + 1} came before it was done"
    session.add(row)


def _changed(deployment: DeploymentSpec, base: Content | None, wish: Content) -> list[ModelRef]:
    """The references that stand for something else than in ``base``; none if there is no such."""
    if base is None:
        return []
    if deployment.model is not None:
        return [deployment.model] if base.model != wish.model else []
    return [ref for ref, version in wish.models.items() if base.models.get(ref) != version]


def _move_behind(session: Session, changed: Sequence[ModelRef]) -> AliasMoveRow | None:
    """The alias move that made the difference, if one did; of several, one that a person has to agree to."""
    found: list[AliasMoveRow] = []
    for name, which in map(model_ref, changed):  # nobody moves a version by number
        wanted = select(AliasMoveRow).where(AliasMoveRow.model == name, AliasMoveRow.alias == str(which))
        found += session.exec(wanted.order_by(col(AliasMoveRow.id).desc()).limit(1))
    return min(found, key=lambda move: move.deploys, default=None)
