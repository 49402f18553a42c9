"""One look at all deployments, in one transaction: each rollout taken as far as it goes, and who is to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from sqlmodel import Session

from controller.rollouts.contents import Content
from controller.rollouts.following import follow
from controller.rollouts.machine import Standing, look
from controller.rollouts.placing import changing_since, go_back, overruled, place
from controller.rollouts.standings import has_taken, told_of
from controller.rollouts.trials import look_at_trials
from controller.rollouts.windows import opening
from controller.stores.changes import note_change
from controller.stores.edges import labels_of, list_edges, report_of
from controller.stores.rollouts import (
    get_rollout,
    last_done,
    newest_rollout,
    placements,
    save_rollout,
    to_rollout,
)
from controller.stores.serving import list_deployments
from controller.stores.tables import EdgeRow, PlacementRow, RolloutRow
from controller.stores.windows import list_windows
from controller.wanted import chooses
from schemas.deployments import DeploymentSpec
from schemas.maintenance import MaintenanceWindow
from schemas.names import EdgeName
from schemas.rollouts import LIVE, EdgeState, RolloutState


@dataclass(slots=True)
class Looked:
    """What a look came to."""

    edges: set[EdgeName] = field(default_factory=set)  # whose manifests say something else now
    live: bool = False  # some rollout is under way
    again_at: datetime | None = None  # something is to be done then, though nothing has happened

    def until(self, moment: datetime | None) -> None:
        """Look again then, if not before."""
        self.again_at = min(filter(None, (self.again_at, moment)), default=None)


def look_at_all(session: Session, *, now: datetime) -> Looked:
    """Follow what deployments stand for, and take every rollout as far as it can go. Caller commits."""
    looked = Looked(again_at=look_at_trials(session, now=now))  # first: an alias that it moves is followed at once
    edges, windows = list_edges(session), list_windows(session)
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
    contents: dict[int, Content] = field(default_factory=dict)  # of rollouts, as they are read

    def run(self) -> None:
        self._let_go()
        newest = newest_rollout(self.session, deployment=self.deployment.name)
        if newest is not None:
            self._send_back(newest)
        row = follow(self.session, self.deployment, newest, now=self.now) or newest
        if row is None:
            return
        self._go_on(row)
        self._send_back(row)
        self._settle_newcomers()
        self.looked.live |= row.state in LIVE

    def _settle_newcomers(self) -> None:
        """Edges for which the newest rollout is nothing, or nothing yet, begin with what was done before it."""
        placed = placements(self.session, deployment=self.deployment.name)
        coming = [edge for edge in self.edges if edge.name not in placed]
        row = last_done(self.session, deployment=self.deployment.name) if coming else None
        if row is not None:
            standings = self._standings(row, placed)
            self._place(row, [each.edge for each in standings if each.edge not in placed and each.open], placed)

    def _let_go(self) -> None:
        """Edges that are not meant any more."""
        meant = {edge.name for edge in self.edges}
        for edge, placement in placements(self.session, deployment=self.deployment.name).items():
            if edge not in meant:
                self.session.delete(placement)
                self._tell("let go", edge=edge)
                self.looked.edges.add(edge)

    def _go_on(self, row: RolloutRow) -> None:
        """As far as it goes: what places edges may be the last thing to do."""
        while True:
            rollout, placed = to_rollout(row), placements(self.session, deployment=self.deployment.name)
            move = look(rollout, self._standings(row, placed), self.now)
            if save_rollout(self.session, row, move.rollout, now=self.now) and move.rollout.state is not rollout.state:
                self._tell("rollout", f"{row.number} is {move.rollout.state}", cause=move.rollout.reason)
            self._place(row, move.place, placed)
            if not move.place:
                self.looked.until(move.again_at)
                return

    def _place(self, row: RolloutRow, edges: Sequence[EdgeName], placed: Mapping[EdgeName, PlacementRow]) -> None:
        for edge in edges:
            place(self.session, self._edge(edge), row, placed.get(edge), now=self.now)
            self.looked.edges.add(edge)
            self._tell("placed", f"rollout {row.number}", edge=edge, cause=row.cause)

    def _send_back(self, row: RolloutRow) -> None:
        """All that were told of a rollout that is aborted now, by itself or by a person."""
        if row.state != RolloutState.ABORTED:
            return
        for edge, placement in placements(self.session, deployment=self.deployment.name).items():
            if placement.rollout == row.number:
                go_back(self.session, self._edge(edge), placement, now=self.now)
                to = f"to rollout {placement.rollout}" if placement.rollout != row.number else "to nothing"
                self.looked.edges.add(edge)
                self._tell("placed", f"back {to}", edge=edge, cause=f"rollout {row.number} is aborted: {row.reason}")

    def _edge(self, name: EdgeName) -> EdgeRow:
        return next(edge for edge in self.edges if edge.name == name)

    def _standings(self, row: RolloutRow, placed: Mapping[EdgeName, PlacementRow]) -> list[Standing]:
        return [self._standing(edge, placed.get(edge.name), row) for edge in self.edges]

    def _standing(self, edge: EdgeRow, placement: PlacementRow | None, row: RolloutRow) -> Standing:
        labels = labels_of(edge)
        window = opening(self.windows, edge=edge.name, labels=labels, now=self.now)
        order_by = self.deployment.rollout.order_by
        is_placed = placement is not None and placement.rollout == row.number
        standing = Standing(
            edge=edge.name,
            placed=is_placed,
            online=edge.online,
            open=window.open or _goes_back(row),
            opens=f"{window.window} opens at {window.changes_at:%Y-%m-%d %H:%M} UTC" if window.changes_at else "",
            label=labels.get(order_by, "") if order_by else "",
        )
        if placement is None:
            return standing
        content = self._content(placement.rollout)
        report = report_of(edge)
        state, reason, figures = told_of(content, report, generation=placement.generation)
        if state is EdgeState.CHANGING:
            reason = overruled(self.session, edge.name, content) or reason
        self._note(placement, state if has_taken(report, placement.generation) else "", reason)
        if not is_placed:
            return standing
        since = changing_since(edge, placement)
        return replace(standing, state=state, reason=reason, figures=figures, since=since, heard_at=edge.reported_at)

    def _content(self, number: int) -> Content:
        if number not in self.contents:
            row = get_rollout(self.session, deployment=self.deployment.name, number=number)
            self.contents[number] = Content.model_validate_json(row.content)
        return self.contents[number]

    def _note(self, placement: PlacementRow, state: EdgeState | Literal[""], reason: str) -> None:
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


def _goes_back(row: RolloutRow) -> bool:
    """Whether a person rolled back with it: that waits for no window."""
    return row.content != row.wish
