"""One look at all deployments, in one transaction: rollouts begun, taken further, and who is to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session, col, select

from controller.rollouts.contents import Content, differences, wish_of
from controller.rollouts.machine import Move, Rollout, Standing, begun, look
from controller.rollouts.standings import told_of
from controller.rollouts.windows import opening
from controller.stores.changes import note_change
from controller.stores.edges import labels_of, list_edges, report_of
from controller.stores.rollouts import (
    forget_rollouts,
    get_rollout,
    newest_rollout,
    placements,
    rollouts,
    save_rollout,
    to_rollout,
)
from controller.stores.serving import list_deployments
from controller.stores.tables import AliasMoveRow, EdgeRow, PlacementRow, RolloutRow
from controller.stores.windows import list_windows
from controller.wanted import chooses
from schemas.deployments import DeploymentSpec
from schemas.maintenance import MaintenanceWindow
from schemas.names import EdgeName, ModelRef, model_ref
from schemas.rollouts import LIVE, EdgeState, RolloutState


@dataclass(slots=True)
class Looked:
    """What a look came to."""

    edges: set[EdgeName] = field(default_factory=set)  # whose manifests say something else now
    live: bool = False  # some rollout is under way


def look_at_all(session: Session, *, now: datetime) -> Looked:
    """Follow what deployments stand for, and take every rollout as far as it can go. Caller commits."""
    looked, edges, windows = Looked(), list_edges(session), list_windows(session)
    for deployment in list_deployments(session):
        meant = [edge for edge in edges if chooses(deployment, edge)]
        _Look(session, deployment, meant, windows, now, looked).run()
    return looked


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at one deployment."""

    session: Session
    deployment: DeploymentSpec
    edges: Sequence[EdgeRow]
    windows: Sequence[MaintenanceWindow]
    now: datetime
    looked: Looked

    def run(self) -> None:
        self._let_go()
        row = newest_rollout(self.session, deployment=self.deployment.name)
        row = self._follow(row) or row
        if row is None:
            return
        if row.state == RolloutState.ABORTED:
            self._settle_newcomers()
        else:
            self._go_on(row)
        self.looked.live |= row.state in LIVE

    def _settle_newcomers(self) -> None:
        """Edges that came after a rollout was aborted have what the others went back to."""
        placed = placements(self.session, deployment=self.deployment.name)
        row = next((one for one in rollouts(self.session, deployment=self.deployment.name) if _is_done(one)), None)
        if row is not None:
            coming = (each for each in self._standings(row, placed) if each.edge not in placed and each.open)
            move = Move(to_rollout(row), tuple(each.edge for each in coming))
            self._carry_out(row, move, placed)

    def _let_go(self) -> None:
        """Edges that are not meant any more."""
        meant = {edge.name for edge in self.edges}
        for edge, placement in placements(self.session, deployment=self.deployment.name).items():
            if edge not in meant:
                self.session.delete(placement)
                self._tell("let go", edge=edge)
                self.looked.edges.add(edge)

    def _follow(self, newest: RolloutRow | None) -> RolloutRow | None:
        """A new rollout, if the deployment stands for something else than the newest was made for."""
        try:
            wish = wish_of(self.session, self.deployment)
        except LookupError:
            return None
        text = wish.model_dump_json()
        if newest is not None and newest.wish == text:
            return None
        before = Content.model_validate_json(newest.wish) if newest else None
        if newest is not None and newest.state in LIVE:
            self._supersede(newest)
        changed = [ref for ref, version in wish.models.items() if before and before.models.get(ref) != version]
        move = self._move_behind(changed)
        wait = f"{move.reason or 'its alias was moved'}; a person has to approve" if move and not move.deploys else ""
        row = new_rollout(
            self.session,
            self.deployment,
            wish=text,
            content=text,
            first=begun(newest.number + 1 if newest else 1, self.deployment.rollout, wait=wait),
            now=self.now,
        )
        row.cause, row.by = differences(before, wish), move.by if move else ""
        self._tell("rollout", f"{row.number} begins", cause=row.cause, by=row.by)
        forget_rollouts(self.session, deployment=self.deployment.name)
        return row

    def _supersede(self, row: RolloutRow) -> None:
        row.state, row.ended_at, row.revision = RolloutState.SUPERSEDED, self.now, row.revision + 1
        row.reason = f"rollout {row.number + 1} came before it was done"
        self.session.add(row)

    def _move_behind(self, changed: Sequence[ModelRef]) -> AliasMoveRow | None:
        """The alias move that made the difference, if one did."""
        names = [(name, which) for name, which in map(model_ref, changed) if isinstance(which, str)]
        if self.deployment.model is not None:
            name, which = model_ref(self.deployment.model)
            names = [(name, which)] if isinstance(which, str) else []
        for name, which in names:
            wanted = select(AliasMoveRow).where(AliasMoveRow.model == name, AliasMoveRow.alias == which)
            if (found := self.session.exec(wanted.order_by(col(AliasMoveRow.id).desc()).limit(1)).first()) is not None:
                return found
        return None

    def _go_on(self, row: RolloutRow) -> None:
        """As far as it goes: what places edges may be the last thing to do."""
        while True:
            rollout, placed = to_rollout(row), placements(self.session, deployment=self.deployment.name)
            move = look(rollout, self._standings(row, placed), self.now)
            if save_rollout(self.session, row, move.rollout, now=self.now) and move.rollout.state is not rollout.state:
                self._tell("rollout", f"{row.number} is {move.rollout.state}", cause=move.rollout.reason)
            self._carry_out(row, move, placed)
            if not move.place:
                return

    def _carry_out(self, row: RolloutRow, move: Move, placed: Mapping[EdgeName, PlacementRow]) -> None:
        for edge in move.place:
            place(self.session, self.deployment.name, edge, row, placed.get(edge), now=self.now)
            self.looked.edges.add(edge)
            self._tell("placed", f"rollout {row.number}", edge=edge, cause=row.cause)
        if move.goes_back:
            for edge, placement in placed.items():
                if placement.rollout == row.number:
                    self._send_back(edge, placement)

    def _send_back(self, edge: EdgeName, placement: PlacementRow) -> None:
        was = placement.rollout
        go_back(self.session, placement, now=self.now)
        to = f"to rollout {placement.rollout}" if placement.rollout != was else "to nothing"
        self.looked.edges.add(edge)
        self._tell("placed", f"back {to}", edge=edge, cause=f"rollout {was} is aborted")

    def _standings(self, row: RolloutRow, placed: Mapping[EdgeName, PlacementRow]) -> list[Standing]:
        content = Content.model_validate_json(row.content)
        return [self._standing(edge, placed.get(edge.name), row, content) for edge in self.edges]

    def _standing(self, edge: EdgeRow, placement: PlacementRow | None, row: RolloutRow, content: Content) -> Standing:
        labels = labels_of(edge)
        window = opening(self.windows, edge=edge.name, labels=labels, now=self.now)
        order_by = self.deployment.rollout.order_by
        is_placed = placement is not None and placement.rollout == row.number
        standing = Standing(
            edge=edge.name,
            placed=is_placed,
            online=edge.online,
            open=window.open,
            opens=f"{window.window} opens at {window.changes_at:%Y-%m-%d %H:%M} UTC" if window.changes_at else "",
            label=labels.get(order_by, "") if order_by else "",
        )
        if placement is None or not is_placed:
            return standing
        state, reason, figures = told_of(content, report_of(edge), generation=edge.generation)
        self._note(placement, state, reason)
        return Standing(
            edge=standing.edge,
            placed=True,
            online=standing.online,
            state=state,
            reason=reason,
            open=standing.open,
            opens=standing.opens,
            label=standing.label,
            figures=figures,
        )

    def _note(self, placement: PlacementRow, state: EdgeState, reason: str) -> None:
        if (placement.state, placement.reason) == (state, reason):
            return
        if placement.state != state and state in {EdgeState.DEPLOYED, EdgeState.FAILED}:
            self._tell(state, f"rollout {placement.rollout}", edge=placement.edge, cause=reason)
        if placement.state != state:
            placement.state_at = self.now
        placement.state, placement.reason = state, reason
        self.session.add(placement)

    def _tell(self, kind: str, what: str = "", *, edge: EdgeName = "", cause: str = "", by: str = "") -> None:
        subject = f"deployment {self.deployment.name}"
        note_change(self.session, kind=kind, subject=subject, what=what, at=self.now, edge=edge, cause=cause, by=by)


def _is_done(row: RolloutRow) -> bool:
    return row.state == RolloutState.DONE


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


def place(
    session: Session, deployment: str, edge: EdgeName, row: RolloutRow, before: PlacementRow | None, *, now: datetime
) -> None:
    """Have an edge told of a rollout's content; what it had is what it would go back to. Caller commits."""
    placement = before or PlacementRow(deployment=deployment, edge=edge, rollout=row.number, placed_at=now)
    if before is not None and not _never_did(session, before):
        placement.previous = before.rollout
    placement.rollout, placement.placed_at = row.number, now
    placement.state, placement.reason, placement.state_at = EdgeState.CHANGING, "", now
    session.add(placement)
    session.flush()


def go_back(session: Session, placement: PlacementRow, *, now: datetime) -> None:
    """Have an edge told of what it had before; one that had nothing has nothing again. Caller commits."""
    if placement.previous is None:
        session.delete(placement)
    else:
        placement.rollout, placement.placed_at, placement.state_at = placement.previous, now, now
        placement.state, placement.reason = EdgeState.CHANGING, "goes back"
        session.add(placement)
    session.flush()


def _never_did(session: Session, placement: PlacementRow) -> bool:
    """Whether what an edge has is nothing to go back to: it never got there, while something before it did."""
    if placement.previous is None or placement.state == EdgeState.DEPLOYED:
        return False
    return get_rollout(session, deployment=placement.deployment, number=placement.rollout).state != RolloutState.DONE
