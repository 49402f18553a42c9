"""The life of a run, without any I/O."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runs.machine import advance, pending
from controller.runs.steps import (
    CancelAsked,
    DeadlinePassed,
    Dispatch,
    Dispatched,
    EdgeSaid,
    Event,
    Failed,
    Fetched,
    FetchOutputs,
    Found,
    LeaseEnded,
    Refused,
    Registered,
    RegisterModel,
    Run,
    SelectData,
    Selected,
    Waits,
)
from schemas.errors import InvalidTransition
from schemas.jobs import JobSpec
from schemas.names import BlobRef
from schemas.runs import LIVE, ON_EDGE, Accepted, EdgeEvent, Exited, Outcome, Outputs, Preparing, RunState, Started

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
BLOB = BlobRef(digest="sha256:" + "0" * 64, size_bytes=1)
JOB = JobSpec.model_validate(
    {"name": "retrain", "model": "iris", "edge": "press-1", "scripts": ["train.py"], "retry": {"max_attempts": 2}}
)
QUEUED = Run(id=UUID(int=1), job=JOB, scheduled_at=NOW, created_at=NOW, state=RunState.QUEUED, edge="press-1")
GOOD = Exited(outcome=Outcome.OK, exit_code=0, outputs=Outputs(model=BLOB))
BAD = Exited(outcome=Outcome.SCRIPT_FAILED, exit_code=3, reason="train.py ended with 3")


def play(run: Run, *events: Event) -> Run:
    """The run after these events."""
    for event in events:
        run = advance(run, event, NOW)
    return run


def said(run: Run, *events: EdgeEvent) -> Run:
    """The run after its edge told these, in order."""
    for event in events:
        run = advance(run, EdgeSaid(run.attempt, run.last_sequence + 1, event), NOW)
    return run


DISPATCHED = play(QUEUED, Selected((), BLOB, None), Dispatched())
RUNNING = said(DISPATCHED, Accepted(), Preparing(note="installing"), Started(executor="process"))


def test_a_good_run_goes_all_the_way() -> None:
    """Each state asks for exactly what must be done next, and the end asks for nothing."""
    assert pending(QUEUED) == SelectData()
    assert pending(play(QUEUED, Selected((), BLOB, None))) == Dispatch()
    assert (DISPATCHED.attempt, RUNNING.state) == (1, RunState.RUNNING)
    uploading = said(RUNNING, GOOD)
    assert pending(uploading) == FetchOutputs()
    checking = play(uploading, Fetched(1))
    assert pending(checking) == RegisterModel()
    done = play(checking, Registered(1, "iris", 7, "version 7 is in use"))
    assert (done.state, done.version, done.deadline, pending(done)) == (RunState.SUCCEEDED, 7, None, None)


def test_a_failed_script_ends_with_its_reason_once_its_log_is_here() -> None:
    """A failed task is given a moment for its log, then the run ends with what the edge said."""
    ended = said(RUNNING, BAD)
    assert (ended.state, pending(ended)) == (RunState.UPLOADING, FetchOutputs())
    for event in (Fetched(1), DeadlinePassed()):
        after = play(ended, event)
        assert (after.state, after.reason) == (RunState.FAILED, "train.py ended with 3")


def test_a_timed_out_script_is_told_apart() -> None:
    """The edge's own limit gives TIMED_OUT, not FAILED."""
    over = said(RUNNING, Exited(outcome=Outcome.TIMED_OUT, reason="ran longer than 60 s"))
    assert play(over, Fetched(1)).state is RunState.TIMED_OUT


def test_repeats_and_gaps_change_nothing() -> None:
    """Only the next sequence number is taken: QoS 1 repeats, and a lost event is sent again before the later ones."""
    repeated = advance(RUNNING, EdgeSaid(1, 2, Preparing(note="installing")), NOW)
    beyond_a_gap = advance(RUNNING, EdgeSaid(1, RUNNING.last_sequence + 2, GOOD), NOW)
    assert repeated == beyond_a_gap == RUNNING


def test_a_lost_edge_is_tried_again_and_its_late_result_refused() -> None:
    """The attempt is the fencing token: after the lease ended, the earlier attempt's success counts for nothing."""
    again = play(RUNNING, LeaseEnded(1, 3601.0))
    assert (again.state, pending(again)) == (RunState.QUEUED, Dispatch())
    second = play(again, Dispatched())
    assert (second.attempt, second.last_sequence, second.started) == (2, 0, None)
    assert advance(second, EdgeSaid(1, 4, GOOD), NOW) == second
    assert play(second, LeaseEnded(2, 3601.0)).state is RunState.LOST


def test_an_edge_that_is_back_with_its_attempt_goes_on() -> None:
    """A lease that ended too early costs nothing: the attempt that the edge still has is taken up where it was."""
    given_up = play(RUNNING, LeaseEnded(1, 3601.0))
    back = play(given_up, Found(1))
    assert (back.state, back.attempt, back.last_sequence) == (RunState.RUNNING, 1, RUNNING.last_sequence)
    assert play(said(back, GOOD), Fetched(1)).state is RunState.CHECKING


def test_a_finished_attempt_is_not_given_up() -> None:
    """What was trained well is waited for, however silent its edge is: only the deadline ends that."""
    uploading = said(RUNNING, GOOD)
    assert play(uploading, LeaseEnded(1, 99999.0)) == uploading


@pytest.mark.parametrize(
    "run", [QUEUED, DISPATCHED, RUNNING, said(RUNNING, GOOD), play(said(RUNNING, GOOD), Fetched(1))]
)
def test_cancel_works_in_every_live_state(run: Run) -> None:
    """Whatever a run is doing, a person can end it."""
    after = play(run, CancelAsked("not needed"))
    assert (after.state, after.reason, after.deadline) == (RunState.CANCELLED, "not needed", None)


def test_every_live_state_has_a_deadline_and_a_reason() -> None:
    """`Why is it not running?` always has an answer, and an end."""
    for run in (DISPATCHED, RUNNING, said(RUNNING, GOOD), play(said(RUNNING, GOOD), Fetched(1))):
        assert run.deadline is not None
        assert run.deadline > NOW
        assert run.reason


def test_a_lost_lease_does_not_stop_what_needs_no_edge() -> None:
    """Once everything is here, the model is checked and registered however silent the edge is."""
    checking = play(said(RUNNING, GOOD), Fetched(1))
    assert play(checking, LeaseEnded(1, 9999.0)) == checking


def test_an_event_without_sense_is_our_own_bug() -> None:
    """A refusal of a run that is already on its edge cannot happen, and is not hidden when it does."""
    with pytest.raises(InvalidTransition, match="queued"):
        advance(QUEUED, Registered(0, "iris", 1, ""), NOW)


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([Selected((), BLOB, None), Dispatched(), DeadlinePassed(), Waits("busy"), Refused("nothing new")]),
    st.builds(Failed, st.integers(0, 3), st.just("disk full")),
    st.builds(Found, st.integers(0, 3)),
    st.just(CancelAsked("enough")),
    st.builds(Fetched, st.integers(0, 3)),
    st.builds(LeaseEnded, st.integers(0, 3), st.just(4000.0)),
    st.builds(Registered, st.integers(0, 3), st.integers(1, 9), st.just("registered")),
    st.builds(
        EdgeSaid,
        st.integers(0, 3),
        st.integers(1, 6),
        st.sampled_from([Accepted(), Preparing(note="x"), Started(executor="docker"), GOOD, BAD]),
    ),
)


@given(st.lists(EVENTS, max_size=40))
def test_any_order_of_events_keeps_the_promises(events: list[Event]) -> None:
    """However events are lost, repeated and mixed: attempts only grow, an ended run stays, success means registered."""
    run = QUEUED
    for second, event in enumerate(events):
        before = run
        try:
            run = advance(run, event, NOW + timedelta(seconds=second))
        except InvalidTransition:
            assert not isinstance(
                event, EdgeSaid | CancelAsked | DeadlinePassed | LeaseEnded
            )  # these come from outside
            continue
        assert before.attempt <= run.attempt <= JOB.retry.max_attempts
        assert run == before or before.state in LIVE
        assert (run.state in LIVE) == (run.ended_at is None)
        assert (run.version is not None) == (run.state is RunState.SUCCEEDED)
        if run.version is not None and before.version is None:
            assert isinstance(event, Registered)
            assert event.attempt == before.attempt
            assert before.exited is not None
            assert before.exited.outcome is Outcome.OK
        if run.state in ON_EDGE:
            assert run.attempt > 0
            assert run.task is not None
