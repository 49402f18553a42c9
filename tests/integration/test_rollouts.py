"""Rollouts in the control database: what edges are told, whatever they report and people order meanwhile (issue 5)."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlmodel import col

from controller.rollouts import orders
from controller.rollouts.contents import Content
from controller.stores.blob_references import blob_references
from controller.stores.database import open_database
from controller.stores.edges import get_edge, note_presence
from controller.stores.rollouts import KEPT, contents_in_use
from controller.stores.tables import PlacementRow, RolloutRow, VersionRow
from controller.stores.windows import save_window
from schemas.errors import Conflict, Stale
from schemas.maintenance import MaintenanceWindow
from schemas.report import PipelineState
from schemas.rollouts import EdgeState, RolloutState
from schemas.wire import Presence
from tests.integration.rollout_bench import RolloutBench, card_of

ABC = ("a", "b", "c")


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Iterator[RolloutBench]:
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    yield RolloutBench(database)
    database.close()


def running(bench: RolloutBench, *edges: str, **rollout: object) -> None:
    """Edges on which the first version answers; what comes next is moved by this plan."""
    bench.prepare(*edges)
    bench.look()
    bench.settle(*edges)
    bench.look()
    assert bench.state is RolloutState.DONE
    bench.deploy(rollout=rollout)


def test_all_at_once_is_placed_in_the_look_that_sees_it(bench: RolloutBench) -> None:
    """A deployment without a plan changes every edge in one transaction, and is deployed when edges say so (defect 29).

    Until then it is not told to be: what is wanted, what is reported and what is missing stand beside each other.
    """
    running(bench, *ABC)
    bench.model()
    assert bench.look().edges == set(ABC)
    assert bench.versions() == dict.fromkeys(ABC, 2)
    assert (bench.newest.state, bench.newest.cause, bench.newest.by) == (RolloutState.ROLLING, "iris 1 → 2", "a test")
    told = bench.on("a")
    assert (told.state, told.rollout, told.previous, told.models) == (EdgeState.CHANGING, 2, 1, {"iris": 2})
    assert (told.generation, told.reason) == (2, "it has not taken generation 2 yet")
    bench.settle(*ABC)
    assert bench.look().edges == set()
    assert bench.state is RolloutState.DONE
    assert {edge.state for edge in bench.view.edges.values()} == {EdgeState.DEPLOYED}
    placed = [(line.edge, line.what, line.cause) for line in bench.lines("placed")]
    assert placed[3:] == [(edge, "rollout 2", "iris 1 → 2") for edge in ABC]


def test_looking_again_changes_nothing(bench: RolloutBench) -> None:
    """Without news nothing is written: no rollout, no line of the timeline, no manifest."""
    running(bench, *ABC, strategy="batches", batch=1)
    bench.model()
    bench.look()
    before = bench.history, bench.lines("rollout", "placed", "deployed"), bench.view
    for _ in range(3):
        assert bench.look().edges == set()
    assert (bench.history, bench.lines("rollout", "placed", "deployed"), bench.view) == before


def test_a_bad_version_on_the_canary_goes_back_and_stays_back(bench: RolloutBench) -> None:
    """The canary returns by itself: the rollout is aborted with its reason, and nobody else ever gets it (defect 29).

    It is not tried again until the deployment stands for something else.
    """
    running(bench, *ABC, strategy="canary", bake="10m")
    before = bench.wanted("a")
    bench.model()
    bench.look()
    bench.returns("a", before)
    assert bench.look().edges == {"a"}
    reason = "a failed: it went back by itself: it does not load"
    assert (bench.newest.state, bench.newest.reason) == (RolloutState.ABORTED, reason)
    assert bench.versions() == dict.fromkeys(ABC, 1)
    bench.settle(*ABC)
    for _ in range(3):
        assert bench.later(hours=1).edges == set()
    assert {(edge.state, edge.rollout) for edge in bench.view.edges.values()} == {(EdgeState.DEPLOYED, 1)}
    assert [line.cause for line in bench.lines("failed")] == ["it went back by itself: it does not load"]
    bench.model()
    bench.look()
    assert bench.versions() == {"a": 3, "b": 1, "c": 1}


def test_figures_beyond_their_limits_abort_it_with_the_numbers(bench: RolloutBench) -> None:
    """Messages that fail on the canary while it bakes send it back, and the reason says where and how many."""
    running(bench, *ABC, strategy="canary", bake="10m", abort_on={"failed": 0.05, "min_messages": 20})
    bench.model()
    bench.look()
    bench.settle("a", answered=19)
    bench.look()
    assert bench.state is RolloutState.BAKING
    bench.settle("a", answered=80, failed=20)
    assert bench.look().edges == {"a"}
    assert bench.newest.reason == "on a 20 of 100 messages failed, which is more than 5.0%"
    assert bench.versions() == dict.fromkeys(ABC, 1)


def test_a_canary_that_fails_while_a_person_is_waited_for_goes_back(bench: RolloutBench) -> None:
    """Nobody has to be there for that."""
    running(bench, *ABC, strategy="canary", approve="after_canary")
    before = bench.wanted("a")
    bench.model()
    bench.look()
    bench.settle("a")
    bench.look()
    assert bench.state is RolloutState.WAITING
    bench.returns("a", before, "9 of 10 messages failed")
    assert bench.look().edges == {"a"}
    assert bench.newest.state is RolloutState.ABORTED


def test_what_an_edge_said_before_it_was_told_does_not_count(bench: RolloutBench) -> None:
    """An edge that returned once from a version is not held to have failed when it is told of it once more."""
    running(bench, *ABC, strategy="canary")
    before = bench.wanted("a")
    bench.model()
    bench.look()
    bench.returns("a", before)
    bench.look()
    assert bench.state is RolloutState.ABORTED
    bench.order(orders.rollback, to=2)  # its last report is still that it returned from this
    assert (bench.newest.number, bench.newest.state) == (3, RolloutState.ROLLING)
    assert bench.on("a").reason == "it has not taken generation 4 yet"
    bench.settle(*ABC)
    bench.look()
    assert bench.newest.state is RolloutState.DONE


def test_a_person_who_aborts_sends_all_back_at_once(bench: RolloutBench) -> None:
    """The same transaction places every edge that had it where it was before, and those edges are told."""
    running(bench, *ABC, strategy="batches", batch=2)
    bench.model()
    bench.look()
    assert bench.versions() == {"a": 2, "b": 2, "c": 1}
    bench.order(orders.abort, reason="not today")
    assert bench.told[-1] == {"a", "b"}
    assert bench.versions() == dict.fromkeys(ABC, 1)
    assert (bench.newest.state, bench.newest.reason) == (RolloutState.ABORTED, "not today")
    back = [(line.edge, line.what, line.cause) for line in bench.lines("placed")][-2:]
    assert back == [(edge, "back to rollout 1", "rollout 2 is aborted: not today") for edge in ("a", "b")]


def test_what_is_aborted_is_nothing_to_go_back_to(bench: RolloutBench) -> None:
    """Also when the next rollout comes in the same moment: edges would go back to what was there before both."""
    running(bench, "a", "b", strategy="batches", batch=1)
    bench.model()
    bench.look()
    bench.settle("a", "b")
    bench.model()  # seen by the look that follows the order
    bench.order(orders.abort)
    assert [(one.number, one.state) for one in bench.history[:2]] == [
        (3, RolloutState.ROLLING),
        (2, RolloutState.ABORTED),
    ]
    assert (bench.on("a").rollout, bench.on("a").previous) == (3, 1)


def test_a_paused_rollout_places_nobody(bench: RolloutBench) -> None:
    """However well its edges do and however long it takes, until it is resumed; then it goes on where it was."""
    running(bench, *ABC, strategy="batches", batch=1)
    bench.model()
    bench.look()
    bench.order(orders.pause, reason="lunch")
    bench.settle(*ABC)
    assert bench.later(hours=1).edges == set()
    assert bench.versions() == {"a": 2, "b": 1, "c": 1}
    bench.order(orders.resume)
    assert bench.versions() == {"a": 2, "b": 2, "c": 1}


def test_a_rollback_is_one_action_and_stays(bench: RolloutBench) -> None:
    """All edges have what they had before, in a new rollout, until the alias moves again."""
    running(bench, *ABC, strategy="batches", batch=1)
    with pytest.raises(Conflict, match="nothing to go back to"):
        bench.order(orders.rollback, to=None)
    bench.model()
    for _ in ABC:
        bench.look()
        bench.settle(*ABC)
    bench.look()
    assert bench.state is RolloutState.DONE
    bench.order(orders.rollback, to=None, reason="customers complain")
    assert bench.versions() == dict.fromkeys(ABC, 1)
    assert (bench.newest.number, bench.newest.by) == (3, "a person")
    assert bench.newest.cause == "back to rollout 1: customers complain"
    bench.settle(*ABC)
    for _ in range(3):
        bench.later(hours=1)
    assert bench.versions() == dict.fromkeys(ABC, 1)
    bench.model()
    bench.look()
    assert bench.versions() == {"a": 3, "b": 1, "c": 1}


@pytest.mark.parametrize("order", [orders.abort, partial(orders.rollback, to=None)])
def test_another_shadow_brings_nothing_back(bench: RolloutBench, order: Callable[..., object]) -> None:
    """What was rolled back or aborted stays so when the gate names another candidate; the next champion is followed."""
    bench.prepare("a")
    bench.deploy(shadow={"model": "iris", "with": "iris@candidate"})
    bench.look()
    bench.settle("a")
    bench.look()
    bench.model()
    bench.look()
    if order is not orders.abort:
        bench.settle("a")
        bench.look()
    bench.order(order, reason="it is bad")
    bench.settle("a")
    bench.look()
    before = bench.newest
    assert bench.versions() == {"a": 1}
    bench.model(alias="candidate")
    bench.look()
    assert (bench.versions(), bench.newest.number) == ({"a": 1}, before.number)
    bench.model()
    bench.look()
    assert (bench.versions(), bench.newest.number) == ({"a": 4}, before.number + 1)
    told = bench.wanted("a")
    assert told is not None
    assert {ref: model.version for ref, model in told.shadows.items()} == {"iris": 3}


def test_a_rollback_waits_for_no_window(bench: RolloutBench) -> None:
    """Changes wait until the maintenance window opens; going back does not."""
    running(bench, *ABC)
    bench.model()
    bench.look()
    bench.settle(*ABC)
    bench.look()
    night = MaintenanceWindow(name="night", labels={"hall": "2"}, opens="0 22 * * *", lasts=3600)
    with bench.database.transaction() as session:
        save_window(session, spec=night, now=bench.now)
    bench.model()
    bench.look()
    assert bench.versions() == dict.fromkeys(ABC, 2)
    assert "night opens at 2026-11-27 22:00" in bench.newest.reason
    bench.order(orders.rollback, to=1)
    assert bench.versions() == dict.fromkeys(ABC, 1)


def test_of_two_people_one_acts(bench: RolloutBench) -> None:
    """Who saw the rollout as it is no more is refused, and told how it is now."""
    running(bench, *ABC, strategy="canary", approve="before")
    bench.model()
    bench.look()
    seen = bench.tag
    bench.order(orders.approve, revision=seen)
    with pytest.raises(Stale, match="rollout 2 of here is rolling now"):
        bench.order(orders.abort, revision=seen)
    assert bench.state is RolloutState.ROLLING


def test_a_version_that_waits_for_approval_is_not_let_in_by_another_change(bench: RolloutBench) -> None:
    """A promotion that must not deploy waits, also when its pipeline is changed meanwhile or it was turned down."""
    running(bench, *ABC)
    bench.model(deploys=False)
    bench.look()
    assert (bench.newest.state, bench.newest.reason) == (
        RolloutState.WAITING,
        "it is the 2.; a person has to approve",
    )
    bench.pipeline()
    bench.look()
    assert (bench.newest.number, bench.newest.state) == (3, RolloutState.WAITING)
    bench.order(orders.abort, reason="no")
    bench.pipeline()
    bench.look()
    assert (bench.newest.number, bench.newest.state) == (4, RolloutState.WAITING)
    assert bench.versions() == dict.fromkeys(ABC, 1)
    bench.order(orders.approve)
    assert bench.versions() == dict.fromkeys(ABC, 2)


def test_who_lets_it_begin_has_not_approved_its_canary(bench: RolloutBench) -> None:
    """Where both have to be approved, there are two approvals."""
    running(bench, *ABC, strategy="canary", approve="after_canary")
    bench.model(deploys=False)
    bench.look()
    bench.order(orders.approve)
    assert bench.versions() == {"a": 2, "b": 1, "c": 1}
    bench.settle("a")
    bench.look()
    assert bench.state is RolloutState.WAITING
    bench.order(orders.approve)
    assert bench.versions() == dict.fromkeys(ABC, 2)


def test_an_edge_that_comes_while_others_are_changed_is_not_left_with_nothing(bench: RolloutBench) -> None:
    """It has what was done before, and takes its turn; one that is not meant any more lets go."""
    running(bench, *ABC, strategy="canary", approve="after_canary")
    bench.model()
    bench.look()
    bench.edge("late")
    bench.look()
    assert bench.versions() == {"a": 2, "b": 1, "c": 1, "late": 1}
    bench.settle(*ABC, "late")
    bench.look()
    bench.order(orders.approve)
    assert bench.versions() == dict.fromkeys((*ABC, "late"), 2)
    bench.change("b", lambda row: setattr(row, "labels", "{}"))
    assert bench.look().edges == {"b"}
    assert bench.wanted("b") is None


def test_a_canary_that_never_gets_there_goes_back(bench: RolloutBench, tmp_path: Path) -> None:
    """Counted from when it took what it was told, across a restart of the controller; what it says is told with it."""
    running(bench, *ABC, strategy="canary", deadline="15m")
    before = bench.wanted("a")
    bench.model()
    bench.look()
    bench.later(minutes=5)  # it has not taken its manifest yet
    bench.says("a", content=before, state=PipelineState.STARTING)
    bench.look()
    bench.database.close()
    bench.database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    bench.later(minutes=16)
    assert bench.state is RolloutState.ROLLING  # it may have got there meanwhile: nobody has heard
    bench.says("a", content=before, state=PipelineState.STARTING)
    assert bench.look().edges == {"a"}
    because = "it has been changing for 16 min, which is more than 15 min: it is on its way"
    assert (bench.newest.state, bench.newest.reason) == (RolloutState.ABORTED, f"a failed: {because}")
    assert bench.versions() == dict.fromkeys(ABC, 1)


def test_a_late_edge_is_shown_as_such_until_it_gets_there(bench: RolloutBench) -> None:
    """A deadline without `abort_on` lets all others be done; who gets there after all is deployed like them."""
    running(bench, *ABC, deadline="10m")
    before = bench.wanted("a")
    bench.model()
    bench.look()
    bench.settle("b", "c")
    bench.says("a", content=before)
    bench.look()
    bench.later(minutes=11)
    bench.says("a", content=before)
    bench.look()
    assert (bench.state, bench.newest.reason) == (RolloutState.DONE, "a failed")
    assert (bench.on("a").state, "changing for 11 min" in bench.on("a").reason) == (EdgeState.FAILED, True)
    bench.settle("a")
    bench.look()
    assert bench.on("a").state is EdgeState.DEPLOYED


def test_time_does_not_pass_for_who_is_away(bench: RolloutBench) -> None:
    """An edge that was away has as long as all others, from when it is back; nor counts what could not be published."""
    running(bench, *ABC, strategy="canary", deadline="15m")
    before = bench.wanted("a")
    bench.model()
    bench.look(publish=False)
    bench.says("a", content=before)
    bench.later(hours=1)
    bench.says("a", content=before)
    bench.look()
    assert bench.state is RolloutState.ROLLING
    bench.publish("a")
    bench.says("a", content=before)
    bench.look()
    for online, session_id in ((False, ""), (True, "2")):
        bench.later(hours=1)
        presence = Presence(edge="a", session_id=session_id, online=online)
        with bench.database.transaction() as session:
            assert note_presence(session, presence=presence, now=bench.now)
    bench.later(minutes=14)
    bench.says("a", content=before)
    bench.look()
    assert bench.on("a").state is EdgeState.CHANGING
    bench.later(minutes=1)
    bench.says("a", content=before)
    bench.look()
    assert bench.newest.state is RolloutState.ABORTED


def test_who_is_away_is_told_and_holds_nobody_up(bench: RolloutBench) -> None:
    """Its manifest waits for it, once others have shown that it does well; it is counted as coming later."""
    running(bench, *ABC, strategy="batches", batch=1)
    bench.change("a", lambda row: setattr(row, "online", False))
    bench.model()
    for edge, told in (("b", {"a": 1, "b": 2, "c": 1}), ("c", {"a": 1, "b": 2, "c": 2})):
        bench.look()
        assert bench.versions() == told
        bench.settle(edge)
    bench.look()
    assert bench.versions() == dict.fromkeys(ABC, 2)
    assert (bench.state, bench.newest.reason) == (RolloutState.DONE, "a will have it when back")
    assert (bench.on("a").state, bench.on("a").reason) == (EdgeState.LATER, "it is offline")


def test_a_version_that_an_edge_failed_is_nothing_to_go_back_to(bench: RolloutBench) -> None:
    """Where one edge alone could not have it, and the others have, the next rollout's way back leads past it there."""
    running(bench, "a", "b")
    before = bench.wanted("a")
    bench.model()
    bench.look()
    bench.returns("a", before)
    bench.settle("b")
    bench.look()
    assert (bench.newest.state, bench.newest.reason) == (RolloutState.DONE, "a failed")
    bench.model()
    bench.look()
    assert (bench.on("a").previous, bench.on("b").previous) == (1, 2)


def test_an_agent_that_tells_no_content_counts_by_versions(bench: RolloutBench) -> None:
    """One of before contents had names is deployed when its versions are those wanted, and failed when it says so."""
    running(bench, "a", "b", strategy="canary")
    bench.model()
    bench.look()
    wanted = bench.wanted("a")
    assert wanted is not None
    bench.says("a", content=wanted.model_copy(update={"content_id": ""}))
    bench.look()
    assert bench.on("a").state is EdgeState.DEPLOYED
    assert bench.versions() == {"a": 2, "b": 2}
    older = wanted.model_copy(update={"content_id": "", "models": {}})
    bench.says("b", content=older, state=PipelineState.DEGRADED)
    assert bench.look().edges == {"a", "b"}
    assert bench.state is RolloutState.ABORTED


def test_of_two_deployments_of_a_pipeline_the_one_that_loses_says_why(bench: RolloutBench) -> None:
    """An edge has a pipeline once: while they want different content there, the later name wins, the other waits."""
    running(bench, "a")
    bench.deploy(name="there")
    bench.look()
    bench.deploy(name="there", rollout={"approve": "before"})
    bench.model()
    bench.look()
    bench.settle("a")
    bench.look()
    assert bench.versions() == {"a": 1}
    reason = "another deployment, of a later name, wants other content of pipeline scoring there"
    assert (bench.on("a").state, bench.on("a").reason) == (EdgeState.CHANGING, reason)
    assert bench.newest.reason == f"waits for a to get there: {reason}"


def test_the_next_look_is_when_something_is_to_be_done(bench: RolloutBench) -> None:
    """A step that bakes is looked at when it has; whoever waits for a person or for edges waits for news alone."""
    running(bench, *ABC, strategy="canary", bake="10m", approve="after_canary")
    bench.model()
    assert bench.look().again_at is None
    bench.settle("a")
    assert bench.look().again_at == bench.now + timedelta(minutes=10)
    assert bench.later(minutes=9).again_at == bench.now + timedelta(minutes=1)
    assert bench.later(minutes=1).again_at is None
    assert bench.state is RolloutState.WAITING


def test_a_database_of_before_there_were_rollouts_is_taken_over(bench: RolloutBench) -> None:
    """The first look makes rollout 1 and places every edge; all that changes in manifests is that content has a name.

    The edge that goes on answering as before is deployed as soon as it has taken that.
    """
    bench.prepare("a")
    bench.look()
    wanted = bench.wanted("a")
    assert wanted is not None
    with bench.database.transaction() as session:
        for table in (RolloutRow, PlacementRow):
            session.connection().execute(delete(table))
        row = get_edge(session, name="a")
        row.wanted = row.wanted.replace(wanted.content_id, "")
        session.add(row)
    unnamed = wanted.model_copy(update={"content_id": ""})
    assert bench.wanted("a") == unnamed
    bench.says("a")
    assert bench.look().edges == {"a"}
    assert (bench.newest.number, bench.state, bench.on("a").generation) == (1, RolloutState.ROLLING, 2)
    assert bench.wanted("a") == wanted
    bench.says("a", content=unnamed)
    bench.look()
    assert (bench.on("a").state, bench.newest.state) == (EdgeState.DEPLOYED, RolloutState.DONE)


def test_of_many_rollouts_what_is_in_use_keeps_its_versions(bench: RolloutBench) -> None:
    """What edges have and would go back to stays however old it is; the history does not keep every version for ever.

    Going back to one whose version is gone is refused, and says what is missing.
    """
    running(bench, *ABC)
    bench.change("a", lambda row: setattr(row, "online", False))
    for _ in range(4):
        bench.model()
        bench.look()
        bench.settle("b", "c")
        bench.look()
    bench.deploy(rollout={"strategy": "batches", "batch": 1})
    bench.model(deploys=False)
    bench.look()
    assert (bench.newest.number, bench.state) == (6, RolloutState.WAITING)
    with bench.database.transaction() as session:
        kept = [Content.model_validate_json(text).models["iris"] for text in contents_in_use(session)]
        digests = blob_references(session).documents
        session.connection().execute(delete(VersionRow).where(col(VersionRow.version) == 2))
    assert sorted(kept) == [4, 5, 6]
    assert {version for version in range(1, 7) if card_of("iris", version).digest in digests} >= {4, 5, 6}
    assert card_of("iris", 2).digest not in digests
    with pytest.raises(Conflict, match="version 2 of model iris is not kept any more"):
        bench.order(orders.rollback, to=2)
    assert bench.newest.number == 6
    for version in (5, 4):  # what waits is given up for what is there, and that for what was there before
        bench.order(orders.rollback, to=None)
        assert bench.versions() == dict.fromkeys(ABC, version)
        bench.settle("b", "c")
        bench.look()


def test_old_rollouts_are_forgotten_and_those_in_use_are_not(bench: RolloutBench) -> None:
    """The newest fifty stay, and what an edge that was never there meanwhile has."""
    running(bench, "a", "b", strategy="batches", batch=1, approve="before")
    for _ in range(KEPT + 5):
        bench.model()
        bench.look()
    numbers = [rollout.number for rollout in bench.history]
    assert numbers == [*range(KEPT + 6, 6, -1), 1]
    assert bench.versions() == {"a": 1, "b": 1}
    bench.order(orders.abort)
    assert bench.versions() == {"a": 1, "b": 1}
