"""The life of one rollout. Pure.

WAITING ─approved▶ ROLLING ─its edges do well▶ BAKING ─long enough▶ ROLLING (the next step) … ▶ DONE
ROLLING ─the canary does well, and a person has to approve▶ WAITING    ROLLING, BAKING ─paused▶ PAUSED ─resumed▶ ROLLING
any of these ─an edge fails, or too many messages▶ ABORTED: its edges go back     ─the wish changes▶ SUPERSEDED
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schemas.deployments import AbortOn, Amount, RolloutPlan
from schemas.names import EdgeName
from schemas.rollouts import LIVE, EdgeState, RolloutState


@dataclass(frozen=True, slots=True)
class Rollout:
    """As it is saved."""

    number: int
    plan: RolloutPlan
    state: RolloutState
    reason: str = ""
    step: int = 0  # how often edges were placed
    step_at: datetime | None = None  # since when all of them do well
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """How content has done on an edge since it was swapped in."""

    messages: int = 0
    failed: int = 0
    p95_s: float = 0.0
    compared: int = 0  # with a shadow
    disagreed: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """One edge of the deployment, as it is known now."""

    edge: EdgeName
    placed: bool  # it is told of this rollout's content
    online: bool
    state: EdgeState = EdgeState.LATER
    reason: str = ""
    open: bool = True  # no maintenance window keeps it from being changed
    opens: str = ""  # when one does
    label: str = ""  # by which edges are ordered
    figures: Figures = Figures()
    since: datetime | None = None  # when it was both there and told, or in this state; None: it has not been told yet
    heard_at: datetime | None = None  # when it said so last


@dataclass(frozen=True, slots=True)
class Move:
    """What a look at a rollout comes to."""

    rollout: Rollout
    place: tuple[EdgeName, ...] = ()  # tell these of its content
    goes_back: bool = False  # tell all that were told of it of what they had before
    again_at: datetime | None = None  # look again then, though nothing has happened


def look(rollout: Rollout, edges: Sequence[Standing], now: datetime) -> Move:
    """What to do next. Looking again without anything having happened comes to the same.

    Args:
        rollout: as it is saved.
        edges: all that the deployment means now.
        now: aware.
    """
    if rollout.state is RolloutState.DONE:
        late = tuple(edge.edge for edge in edges if not edge.placed and edge.open)  # it came, or its window opened
        return Move(rollout, late)
    if rollout.state not in LIVE:
        return Move(rollout)
    edges = [in_time(rollout.plan, edge) for edge in edges]
    placed = [edge for edge in edges if edge.placed]
    if trouble := _trouble(rollout.plan.limits, placed):
        return Move(_to(rollout, RolloutState.ABORTED, trouble), goes_back=True)
    if rollout.state in {RolloutState.PAUSED, RolloutState.WAITING}:
        return Move(rollout)
    coming = [edge for edge in placed if edge.online and edge.state is EdgeState.CHANGING]
    if coming:
        told = f"{_some([edge.edge for edge in coming])} to get there: {coming[0].reason}".rstrip(": ")
        return Move(replace(_to(rollout, RolloutState.ROLLING, f"waits for {told}"), step_at=None))
    if not placed:  # whoever was told of it is not meant any more: nobody has shown anything
        rollout = replace(rollout, step=0, step_at=None)
    elif len(placed) < len(edges) and _is_unproven(rollout.plan, placed):
        told = (
            f"waits for {_some([edge.edge for edge in placed])} to come back: nobody else has shown that it does well"
        )
        return Move(replace(_to(rollout, RolloutState.ROLLING, told), step_at=None))
    return _bake(rollout, edges, now)


def in_time(plan: RolloutPlan, edge: Standing) -> Standing:
    """The edge; one that is there, and says itself that it has not got there in all the time that it had, failed.

    By what it says, and not by the clock alone: of an edge that could not be heard, nobody knows how far it is.
    """
    if edge.state is not EdgeState.CHANGING or not edge.online:
        return edge
    if plan.deadline_s is None or edge.since is None or edge.heard_at is None:
        return edge
    took_s = (edge.heard_at - edge.since).total_seconds()
    if took_s < plan.deadline_s:
        return edge
    told = f"it has been changing for {_span(took_s)}, which is more than {_span(plan.deadline_s)}: {edge.reason}"
    return replace(edge, state=EdgeState.FAILED, reason=told.rstrip(": "))


def begun(number: int, plan: RolloutPlan, *, wait: str = "") -> Rollout:
    """A new one; ``wait`` is why it needs a person's approval, whatever its plan says."""
    why = wait or ("its plan asks for approval before it begins" if plan.approve == "before" else "")
    state = RolloutState.WAITING if why else RolloutState.ROLLING
    return Rollout(number, plan, state, why)


def _is_unproven(plan: RolloutPlan, placed: Sequence[Standing]) -> bool:
    """Whether all who were told went away before they had told how it does, and a plan has steps to find that out."""
    return plan.strategy != "all_at_once" and all(edge.state is EdgeState.CHANGING for edge in placed)


def _bake(rollout: Rollout, edges: Sequence[Standing], now: datetime) -> Move:
    """Everybody who was told, and is there, does well."""
    if rollout.step and rollout.plan.bake is not None:
        since = rollout.step_at or now
        until = since + timedelta(seconds=rollout.plan.bake)
        if now < until:
            reason = f"all of step {rollout.step} do well; the next is at {until:%Y-%m-%d %H:%M:%S} UTC"
            return Move(replace(_to(rollout, RolloutState.BAKING, reason), step_at=since), again_at=until)
        rollout = replace(rollout, step_at=since)
    return _go_on(rollout, edges)


def _go_on(rollout: Rollout, edges: Sequence[Standing]) -> Move:
    """The next edges, or the end."""
    left = [edge for edge in edges if not edge.placed]
    if not left:
        return Move(_to(rollout, RolloutState.DONE, _summary(edges)))
    if rollout.step == 1 and rollout.plan.approve == "after_canary" and not rollout.approved:
        return Move(_to(rollout, RolloutState.WAITING, "its canary does well; a person has to approve the rest"))
    ready = sorted((edge for edge in left if edge.open), key=_order)
    if not ready:
        reason = f"waits for the maintenance window of {_some([edge.edge for edge in left])}: {left[0].opens}"
        return Move(_to(rollout, RolloutState.ROLLING, reason))
    count = _count(rollout, len(edges))
    following = tuple(edge.edge for edge in ready[:count])
    after = replace(rollout, step=rollout.step + 1, step_at=None)
    return Move(_to(after, RolloutState.ROLLING, f"waits for {_some(following)} to get there"), following)


def _count(rollout: Rollout, edges: int) -> int:
    """How many edges the next step takes."""
    match rollout.plan.strategy, rollout.step:
        case "all_at_once", _:
            return edges
        case "canary", 0:
            return _of(rollout.plan.canary, edges)
    return _of(rollout.plan.batch, edges)


def _of(amount: Amount, edges: int) -> int:
    """A count, or a part of so many edges: rounded up, so that it is one at least."""
    return amount if isinstance(amount, int) else -(-edges * int(amount.removesuffix("%")) // 100)


def _order(edge: Standing) -> tuple[bool, bool, float, str, str]:
    """Those that are there first, since they can show how it does; by label, numbers as numbers; then by name."""
    try:
        return not edge.online, False, float(edge.label), "", edge.edge
    except ValueError:
        return not edge.online, True, 0.0, edge.label, edge.edge


def _trouble(limits: AbortOn | None, placed: Sequence[Standing]) -> str:
    """Why it has to be aborted; empty if it has not."""
    if limits is None:
        return ""
    lost = [edge for edge in placed if edge.state is EdgeState.FAILED]
    if len(lost) > limits.edges:
        more = f", and {limits.edges} may" if limits.edges else ""
        return f"{_some([edge.edge for edge in lost])} failed{more}: {lost[0].reason}"
    return next((trouble for edge in placed if (trouble := _too_much(limits, edge))), "")


def _too_much(limits: AbortOn, edge: Standing) -> str:
    figures = edge.figures
    if edge.state is not EdgeState.DEPLOYED:
        return ""
    if figures.messages >= limits.min_messages:
        failed = figures.failed / figures.messages
        if limits.failed is not None and failed > limits.failed:
            part = f"{figures.failed} of {figures.messages} messages"
            return f"on {edge.edge} {part} failed, which is more than {limits.failed:.1%}"
        if limits.p95 is not None and figures.p95_s > limits.p95:
            return f"on {edge.edge} messages take {figures.p95_s:.3g} s (p95), which is more than {limits.p95:g} s"
    if figures.compared >= limits.min_messages:
        disagreed = figures.disagreed / figures.compared
        if limits.disagreement is not None and disagreed > limits.disagreement:
            part = f"{figures.disagreed} of {figures.compared} messages"
            return f"on {edge.edge} model and shadow disagree on {part}, which is more than {limits.disagreement:.1%}"
    return ""


def _to(rollout: Rollout, state: RolloutState, reason: str) -> Rollout:
    return replace(rollout, state=state, reason=reason)


def _summary(edges: Sequence[Standing]) -> str:
    away = [edge.edge for edge in edges if not edge.online]
    failed = [edge.edge for edge in edges if edge.online and edge.state is EdgeState.FAILED]
    told = [f"{_some(failed)} failed"] if failed else []
    told += [f"{_some(away)} will have it when back"] if away else []
    return "; ".join(told)


def _span(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds // 60:.0f} min"


_SHOWN = 5


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
