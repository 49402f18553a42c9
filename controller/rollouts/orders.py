"""What people order of rollouts; each in a transaction, and refused with what there is to do instead."""

from dataclasses import replace
from datetime import datetime

from sqlmodel import Session

from controller.rollouts.contents import Content
from controller.rollouts.following import new_rollout
from controller.rollouts.machine import Rollout, begun
from controller.stores.changes import note_change
from controller.stores.rollouts import (
    get_rollout,
    newest_rollout,
    rollouts,
    save_rollout,
    to_rollout,
)
from controller.stores.serving import get_deployment
from controller.stores.tables import RolloutRow, VersionRow
from schemas.deployments import RolloutPlan
from schemas.errors import Conflict, Stale
from schemas.names import BlobRef
from schemas.rollouts import LIVE, RolloutState


def approve(session: Session, name: str, *, reason: str, now: datetime, revision: int | None) -> None:
    """Let a rollout that waits for a person begin, or go on behind its canary."""
    row = _newest(session, name, revision)
    rollout = to_rollout(row)
    if rollout.state is not RolloutState.WAITING:
        raise Conflict(f"rollout {row.number} of {name} waits for nobody: it is {rollout.state}")
    behind_canary = rollout.step > 0  # who lets it begin has not seen yet how its canary does
    after = replace(rollout, state=RolloutState.ROLLING, approved=behind_canary, reason="")
    _save(session, row, after, "approved", reason, now)


def pause(session: Session, name: str, *, reason: str, now: datetime, revision: int | None) -> None:
    """Change no further edge until it is resumed."""
    row = _newest(session, name, revision)
    rollout = to_rollout(row)
    if rollout.state not in {RolloutState.ROLLING, RolloutState.BAKING}:
        raise Conflict(f"rollout {row.number} of {name} is not under way: it is {rollout.state}")
    after = replace(rollout, state=RolloutState.PAUSED, reason=reason or "paused by a person")
    _save(session, row, after, "paused", reason, now)


def resume(session: Session, name: str, *, reason: str, now: datetime, revision: int | None) -> None:
    """Go on with a rollout that was paused."""
    row = _newest(session, name, revision)
    rollout = to_rollout(row)
    if rollout.state is not RolloutState.PAUSED:
        raise Conflict(f"rollout {row.number} of {name} is not paused: it is {rollout.state}")
    _save(session, row, replace(rollout, state=RolloutState.ROLLING, reason=""), "resumed", reason, now)


def abort(session: Session, name: str, *, reason: str, now: datetime, revision: int | None) -> None:
    """Have all edges that were told of a rollout go back to what they had before: the look that follows does it."""
    row = _newest(session, name, revision)
    rollout = to_rollout(row)
    if rollout.state not in LIVE:
        raise Conflict(
            f"rollout {row.number} of {name} is not under way: it is {rollout.state}; to go back to what was there "
            f"before: tidemill deployment rollback {name}"
        )
    after = replace(rollout, state=RolloutState.ABORTED, reason=reason or "aborted by a person")
    _save(session, row, after, "aborted", reason, now)


def rollback(
    session: Session, name: str, *, to: int | None, reason: str, now: datetime, revision: int | None
) -> RolloutRow:
    """Move all edges at once to what an earlier rollout had: the last that was done before, or number ``to``.

    It stays until the deployment stands for something else than now. Returns the new rollout.
    """
    deployment, newest = get_deployment(session, name=name), _newest(session, name, revision)
    target = get_rollout(session, deployment=name, number=to) if to is not None else _before(session, name, newest)
    _refuse_forgotten(session, target)
    if newest.state in LIVE:
        newest.state, newest.ended_at, newest.revision = RolloutState.SUPERSEDED, now, newest.revision + 1
        newest.reason = f"rolled back to rollout {target.number}"
        session.add(newest)
    row = new_rollout(
        session,
        deployment,
        wish=newest.wish,
        content=target.content,
        first=begun(newest.number + 1, RolloutPlan()),
        now=now,
    )
    row.cause = f"back to rollout {target.number}" + (f": {reason}" if reason else "")
    row.by = "a person"
    _tell(session, name, f"{row.number} begins, {row.cause}", reason, now)
    return row


def _refuse_forgotten(session: Session, target: RolloutRow) -> None:
    """Raise Conflict when something that a rollout moved edges to is not kept any more."""
    content = Content.model_validate_json(target.content)
    for model in content.held:
        row = session.get(VersionRow, (model.name, model.version))
        if row is None or BlobRef.model_validate_json(row.card_blob) != model.card:
            raise Conflict(
                f"rollout {target.number} of {target.deployment} cannot be gone back to: version {model.version} of "
                f"model {model.name} is not kept any more"
            )


def _before(session: Session, name: str, newest: RolloutRow) -> RolloutRow:
    """What edges had before: another content than the newest that was done, if that one is in use."""
    done = [row for row in rollouts(session, deployment=name) if row.state == RolloutState.DONE]
    present = newest.content if newest.state in {*LIVE, RolloutState.DONE} else done[0].content if done else ""
    found = next((row for row in done if row.content != present), None)
    if found is None:
        raise Conflict(f"deployment {name} has nothing to go back to: no other content was ever deployed by it")
    return found


def _newest(session: Session, name: str, revision: int | None) -> RolloutRow:
    get_deployment(session, name=name)
    row = newest_rollout(session, deployment=name)
    if row is None:
        raise Conflict(f"deployment {name} has no rollout yet: what it stands for is not there")
    if revision is not None and (row.number, row.revision) != divmod(revision, REVISIONS):
        raise Stale(f"rollout {row.number} of {name} is {row.state} now ({row.reason}); look again")
    return row


REVISIONS = 1_000_000
"""Number and revision of a rollout in one number, which is its entity tag."""


def tag_of(row: RolloutRow) -> int:
    """What changes whenever a deployment's newest rollout does."""
    return row.number * REVISIONS + row.revision


def _save(session: Session, row: RolloutRow, after: Rollout, what: str, reason: str, now: datetime) -> None:
    save_rollout(session, row, after, now=now)
    _tell(session, row.deployment, f"{row.number} {what} by a person", reason, now)


def _tell(session: Session, name: str, what: str, reason: str, now: datetime) -> None:
    note_change(session, kind="rollout", subject=f"deployment {name}", what=what, at=now, cause=reason, by="a person")
