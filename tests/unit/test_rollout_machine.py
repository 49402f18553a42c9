"""The life of a rollout: any plan, any edges, whatever they do and in whatever order."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.rollouts.machine import Figures, Move, Rollout, Standing, begun, in_time, look
from schemas.deployments import AbortOn, DeploymentSpec, RolloutPlan
from schemas.rollouts import LIVE, EdgeState, RolloutState

T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)


@dataclass
class Fleet:
    """Edges that do as they are told, unless a test has them do otherwise."""

    plan: RolloutPlan
    edges: dict[str, Standing] = field(default_factory=dict)
    now: datetime = T0
    told: list[tuple[str, ...]] = field(default_factory=list)
    rollout: Rollout = field(init=False)

    def __post_init__(self) -> None:
        self.rollout = begun(1, self.plan)

    def add(self, *names: str, **changes: object) -> None:
        """Edges that are online and have the content of before."""
        for name in names:
            self.edges[name] = replace(Standing(name, placed=False, online=True), **changes)  # type: ignore[arg-type]

    def put(self, name: str, **changes: object) -> None:
        """Have something happen on an edge."""
        self.edges[name] = replace(self.edges[name], **changes)  # type: ignore[arg-type]

    def look(self) -> Move:
        """Look once, and do what that comes to."""
        for name, edge in self.edges.items():
            self.put(name, heard_at=self.now if edge.online else edge.heard_at)
        move = look(self.rollout, list(self.edges.values()), self.now)
        self.rollout = move.rollout
        for name in move.place:
            self.put(name, placed=True, state=EdgeState.CHANGING, since=self.now)
        if move.place:
            self.told.append(move.place)
        if move.goes_back:
            for name in self.edges:
                self.put(name, placed=False, state=EdgeState.LATER)
        return move

    def judged(self) -> dict[str, Standing]:
        """The edges as they are now, of which those that are there have just been heard."""
        heard = {name: replace(edge, heard_at=self.now) for name, edge in self.edges.items()}
        return {name: in_time(self.plan, edge) for name, edge in heard.items()}

    def settle(self, state: EdgeState = EdgeState.DEPLOYED) -> None:
        """All that were told and are there get there."""
        for name, edge in self.edges.items():
            if edge.placed and edge.online and edge.state is EdgeState.CHANGING:
                self.put(name, state=state)


def test_all_at_once_changes_all_and_is_done_when_they_are() -> None:
    """In one step, without a person and without waiting."""
    fleet = Fleet(RolloutPlan())
    fleet.add("a", "b", "c")
    assert fleet.look().place == ("a", "b", "c")
    assert fleet.look().rollout.state is RolloutState.ROLLING
    fleet.settle()
    assert fleet.look().rollout.state is RolloutState.DONE


def test_batches_go_by_label_and_wait_for_each_other() -> None:
    """Numbers in the order of numbers; the next step only when the one before has done well for long enough."""
    fleet = Fleet(RolloutPlan(strategy="batches", batch="40%", order_by="line", bake=600))
    for name, label in {"a": "10", "b": "9", "c": "x", "d": "2", "e": ""}.items():
        fleet.add(name, label=label)
    assert fleet.look().place == ("d", "b")
    fleet.settle()
    move = fleet.look()
    assert (move.rollout.state, move.place, move.again_at) == (RolloutState.BAKING, (), T0 + timedelta(minutes=10))
    fleet.now += timedelta(minutes=9)
    assert fleet.look() == move
    fleet.now += timedelta(minutes=1)
    assert fleet.look().place == ("a", "e")
    fleet.settle()
    fleet.look()
    fleet.put("a", state=EdgeState.CHANGING)  # such as a worker that was started anew: the time begins anew
    fleet.now += timedelta(minutes=10)
    assert fleet.look().rollout.state is RolloutState.ROLLING
    fleet.settle()
    assert fleet.look().rollout.state is RolloutState.BAKING
    fleet.now += timedelta(minutes=10)
    assert fleet.look().place == ("c",)
    fleet.settle()
    fleet.look()
    fleet.now += timedelta(minutes=10)
    assert fleet.look().rollout.state is RolloutState.DONE


def test_a_canary_is_approved_by_a_person() -> None:
    """First so many as the plan says, then nobody until a person agrees, then the rest."""
    fleet = Fleet(RolloutPlan(strategy="canary", canary=1, approve="after_canary"))
    fleet.add("a", "b", "c")
    assert fleet.look().place == ("a",)
    fleet.settle()
    assert fleet.look().rollout.state is RolloutState.WAITING
    assert fleet.look().place == ()
    fleet.rollout = replace(fleet.rollout, state=RolloutState.ROLLING, approved=True)
    assert fleet.look().place == ("b", "c")


def test_one_edge_that_fails_aborts_a_canary_and_not_all_at_once() -> None:
    """By default; and `edges` says how many may fail."""
    canary = Fleet(RolloutPlan(strategy="canary"))
    canary.add("a", "b")
    canary.look()
    canary.put("a", state=EdgeState.FAILED, reason="it does not load")
    move = canary.look()
    assert (move.rollout.state, move.goes_back) == (RolloutState.ABORTED, True)
    assert move.rollout.reason == "a failed: it does not load"
    at_once = Fleet(RolloutPlan())
    at_once.add("a", "b")
    at_once.look()
    at_once.settle()
    at_once.put("a", state=EdgeState.FAILED)
    assert (at_once.look().rollout.state, at_once.rollout.reason) == (RolloutState.DONE, "a failed")
    patient = Fleet(RolloutPlan(strategy="batches", batch=2, abort_on=AbortOn(edges=1)))
    patient.add("a", "b", "c")
    patient.look()
    patient.settle()
    patient.put("a", state=EdgeState.FAILED)
    assert patient.look().place == ("c",)
    patient.put("c", state=EdgeState.FAILED, reason="neither")
    assert patient.look().rollout.reason == "a, c failed, and 1 may: "


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (Figures(messages=100, failed=6), "on a 6 of 100 messages failed, which is more than 5.0%"),
        (Figures(messages=20, p95_s=0.3), "on a messages take 0.3 s (p95), which is more than 0.2 s"),
        (
            Figures(messages=20, compared=50, disagreed=11),
            "on a model and shadow disagree on 11 of 50 messages, which is more than 20.0%",
        ),
        (Figures(messages=100, failed=5, p95_s=0.2, compared=50, disagreed=10), ""),
        (Figures(messages=19, failed=19, p95_s=9, compared=19, disagreed=19), ""),
    ],
)
def test_messages_that_go_wrong_abort_it(figures: Figures, reason: str) -> None:
    """Beyond each limit, which itself is still good; and not before there were enough to tell."""
    limits = AbortOn(failed=0.05, p95=0.2, disagreement=0.2, min_messages=20)
    fleet = Fleet(RolloutPlan(strategy="canary", bake=60, abort_on=limits))
    fleet.add("a", "b")
    fleet.look()
    fleet.put("a", state=EdgeState.DEPLOYED, figures=figures)
    move = fleet.look()
    assert (move.rollout.reason if move.goes_back else "") == reason


def test_who_is_away_holds_nobody_up() -> None:
    """It is told after those that are there have shown how it does, and takes it when it is back; that is said."""
    fleet = Fleet(RolloutPlan(strategy="batches", batch=1))
    fleet.add("a", online=False)
    fleet.add("b")
    assert fleet.look().place == ("b",)
    assert fleet.look().place == ()
    fleet.settle()
    assert fleet.look().place == ("a",)
    assert (fleet.look().rollout.state, fleet.rollout.reason) == (RolloutState.DONE, "a will have it when back")


def test_who_goes_away_when_told_has_shown_nothing() -> None:
    """A canary that is never heard of again lets nobody else have what may have ended it; a person can abort."""
    fleet = Fleet(RolloutPlan(strategy="canary", canary=1, bake=60))
    fleet.add("a", "b", "c")
    assert fleet.look().place == ("a",)
    fleet.put("a", online=False)
    fleet.now += timedelta(days=1)
    move = fleet.look()
    assert (move.rollout.state, move.place) == (RolloutState.ROLLING, ())
    assert move.rollout.reason == "waits for a to come back: nobody else has shown that it does well"
    fleet.put("a", online=True, state=EdgeState.DEPLOYED)
    assert fleet.look().rollout.state is RolloutState.BAKING
    fleet.put("a", online=False)  # as it does every day: it has told that it does well
    fleet.now += timedelta(minutes=1)
    assert fleet.look().place == ("b", "c")


def test_who_gets_there_too_late_has_failed() -> None:
    """A canary that is there and changes for longer than its plan's deadline aborts it; the reason says how long."""
    fleet = Fleet(RolloutPlan(strategy="canary", deadline=600))
    fleet.add("a", "b")
    fleet.look()
    fleet.put("a", reason="fetching 2 files")
    fleet.now += timedelta(minutes=9)
    assert fleet.look().rollout.reason == "waits for a to get there: fetching 2 files"
    fleet.now += timedelta(minutes=2)
    move = fleet.look()
    assert (move.rollout.state, move.goes_back) == (RolloutState.ABORTED, True)
    because = "it has been changing for 11 min, which is more than 10 min: fetching 2 files"
    assert move.rollout.reason == f"a failed: {because}"


def test_some_may_be_late() -> None:
    """As many as may fail: the step goes on without them, and the end says which they are."""
    fleet = Fleet(RolloutPlan(strategy="batches", batch=2, deadline=60, abort_on=AbortOn(edges=1)))
    fleet.add("a", "b", "c")
    assert fleet.look().place == ("a", "b")
    fleet.put("b", state=EdgeState.DEPLOYED)
    assert fleet.look().place == ()
    fleet.now += timedelta(minutes=1)
    assert fleet.look().place == ("c",)
    fleet.put("c", state=EdgeState.DEPLOYED)
    assert (fleet.look().rollout.state, fleet.rollout.reason) == (RolloutState.DONE, "a failed")


@pytest.mark.parametrize(
    "edge",
    [
        {"online": False},  # it is back later, and takes it then
        {"since": None},  # the manifest has not come to it
        {"heard_at": T0 + timedelta(minutes=59)},  # nobody knows how far it is now
        {"state": EdgeState.DEPLOYED},
    ],
)
def test_only_who_says_itself_that_it_is_not_there_is_late(edge: dict[str, object]) -> None:
    """Not one that is away, was not told, was not heard, or is there; else it has failed at the deadline."""
    written = {"state": EdgeState.CHANGING, "since": T0, "heard_at": T0 + timedelta(hours=1)}
    late = Standing("a", placed=True, online=True, **written)  # type: ignore[arg-type]
    assert in_time(RolloutPlan(strategy="canary"), late).state is EdgeState.FAILED
    other = replace(late, **edge)  # type: ignore[arg-type]
    assert in_time(RolloutPlan(strategy="canary"), other) == other


def test_how_long_it_may_take() -> None:
    """An hour by default where others wait for it, and as long as it takes where nobody does."""
    assert [RolloutPlan(strategy=each).deadline_s for each in ("batches", "canary")] == [3600, 3600]
    assert RolloutPlan().deadline_s is None
    assert RolloutPlan.model_validate({"deadline": "5m"}).deadline_s == 300


def test_where_nobody_is_left_nobody_is_waited_for() -> None:
    """With all of its edges told and away, it is done: there is nobody to be kept from it."""
    fleet = Fleet(RolloutPlan(strategy="canary", canary=1))
    fleet.add("a", online=False)
    assert fleet.look().place == ("a",)
    assert (fleet.look().rollout.state, fleet.rollout.reason) == (RolloutState.DONE, "a will have it when back")


def test_a_canary_that_is_not_meant_any_more_is_replaced() -> None:
    """By as many edges as a canary has, not by all the rest."""
    fleet = Fleet(RolloutPlan(strategy="canary", canary=1))
    fleet.add("a", "b", "c")
    assert fleet.look().place == ("a",)
    del fleet.edges["a"]
    assert fleet.look().place == ("b",)


def test_edges_are_changed_in_their_windows_only() -> None:
    """Those whose window is open go first; the others are waited for, and so are those that come when it is done."""
    fleet = Fleet(RolloutPlan())
    fleet.add("a", open=False, opens="night opens at 22:00")
    fleet.add("b")
    assert fleet.look().place == ("b",)
    fleet.settle()
    move = fleet.look()
    assert (move.rollout.state, move.place) == (RolloutState.ROLLING, ())
    assert move.rollout.reason == "waits for the maintenance window of a: night opens at 22:00"
    fleet.put("a", open=True)
    assert fleet.look().place == ("a",)
    fleet.settle()
    assert fleet.look().rollout.state is RolloutState.DONE
    fleet.add("late", open=False)
    assert fleet.look().place == ()
    fleet.put("late", open=True)
    assert fleet.look().place == ("late",)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["look", "settle", "fail", "away", "back", "pause", "resume", "approve", "wait", "new"]),
        st.integers(0, 9),
    ),
    max_size=60,
)
_PLANS = st.builds(
    RolloutPlan,
    strategy=st.just("canary"),
    canary=st.integers(1, 3),
    batch=st.one_of(st.integers(1, 4), st.sampled_from(["10%", "50%", "100%"])),
    bake=st.one_of(st.none(), st.just(60.0)),
    deadline=st.one_of(st.none(), st.just(180.0)),
    approve=st.sampled_from(["never", "before", "after_canary"]),
    abort_on=st.builds(AbortOn, edges=st.integers(0, 2)),
)


@given(_PLANS, st.integers(0, 10), _STEPS)
def test_whatever_happens_no_more_than_a_step_is_unproven(
    plan: RolloutPlan, count: int, steps: list[tuple[str, int]]
) -> None:
    """No edge is told while one that is there has not got there; none while it is paused or waits for a person.

    After an abort all are back, and nobody is told any more; and if all do well it ends.
    """
    fleet = Fleet(plan)
    fleet.add(*(f"e{number}" for number in range(count)))
    for what, number in steps:
        _happen(fleet, what, f"e{number}")
        before = fleet.judged(), fleet.rollout
        move = fleet.look()
        unproven = [edge for edge in before[0].values() if edge.placed and edge.online and _is_changing(edge)]
        if move.place and before[1].state is not RolloutState.DONE:
            assert not unproven
            told = [edge for edge in before[0].values() if edge.placed]
            assert not told or any(edge.state is not EdgeState.CHANGING for edge in told)
            assert before[1].state in {RolloutState.ROLLING, RolloutState.BAKING}
            assert len(move.place) <= _most(plan, len(fleet.edges), before[1].step)
        if fleet.rollout.state is RolloutState.ABORTED:
            assert not move.place
            assert not any(edge.placed for edge in fleet.edges.values())
    for _ in range(60):
        for name in fleet.edges:
            fleet.put(name, online=True)
        fleet.settle()
        if fleet.rollout.state in {RolloutState.PAUSED, RolloutState.WAITING}:
            fleet.rollout = replace(fleet.rollout, state=RolloutState.ROLLING, approved=True)
        fleet.now += timedelta(minutes=2)
        fleet.look()
    assert fleet.rollout.state not in LIVE


def _is_changing(edge: Standing) -> bool:
    return edge.state is EdgeState.CHANGING


def _most(plan: RolloutPlan, edges: int, step: int) -> int:
    amount = plan.canary if step == 0 else plan.batch
    return amount if isinstance(amount, int) else -(-edges * int(amount[:-1]) // 100)


def _happen(fleet: Fleet, what: str, name: str) -> None:
    state = fleet.rollout.state
    match what:
        case "settle":
            fleet.settle()
        case "fail" if name in fleet.edges and fleet.edges[name].placed:
            fleet.put(name, state=EdgeState.FAILED)
        case "away" | "back" if name in fleet.edges:
            fleet.put(name, online=what == "back")
        case "pause" if state in {RolloutState.ROLLING, RolloutState.BAKING}:
            fleet.rollout = replace(fleet.rollout, state=RolloutState.PAUSED)
        case "resume" if state is RolloutState.PAUSED:
            fleet.rollout = replace(fleet.rollout, state=RolloutState.ROLLING)
        case "approve" if state is RolloutState.WAITING:
            fleet.rollout = replace(fleet.rollout, state=RolloutState.ROLLING, approved=True)
        case "wait":
            fleet.now += timedelta(minutes=1)
        case "new" if f"new-{name}" not in fleet.edges:
            fleet.add(f"new-{name}")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rollout": {"strategy": "slowly"}}, "rollout.strategy"),
        ({"rollout": {"batch": 3}}, "`batch` is not of strategy: all_at_once"),
        ({"rollout": {"strategy": "batches", "batch": "0%"}}, "write a count such as 5"),
        ({"rollout": {"strategy": "batches", "approve": "after_canary"}}, "is of strategy: canary"),
        ({"rollout": {"strategy": "canary", "abort_on": {"failed": 5}}}, "rollout.abort_on.failed"),
        ({"pipeline": None, "model": "iris", "health": {"watch": "1m"}}, "are of a `pipeline`"),
    ],
)
def test_a_mistake_in_a_plan_is_named(changes: dict[str, object], complaint: str) -> None:
    """Each with its place and what to write instead."""
    with pytest.raises(ValidationError, match=complaint):
        DeploymentSpec.model_validate({"name": "d", "edges": ["a"], "pipeline": "p", **changes})
