"""The life of a run, without any I/O."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runs.machine import advance, in_manifest, may_be_alive, pending
from controller.runs.retries import pause_s
from controller.runs.steps import (
    Admitted,
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
    Gone,
    LeaseEnded,
    Refused,
    Registered,
    RegisterModel,
    Run,
    SelectData,
    Selected,
    TakeTurn,
    Waits,
)
from schemas.errors import InvalidTransition
from schemas.jobs import JobSpec, Retry
from schemas.names import BlobRef
from schemas.runs import LIVE, ON_EDGE, Accepted, EdgeEvent, Exited, Outcome, Outputs, Preparing, RunState, Started

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
BLOB = BlobRef(digest="sha256:" + "0" * 64, size_bytes=1)
JOB = JobSpec.model_validate(
    {"name": "retrain", "model": "iris", "edge": "press-1", "scripts": ["train.py"], "retry": {"max_attempts": 2}}
)
QUEUED = Run(id=UUID(int=1), job=JOB, scheduled_at=NOW, created_at=NOW, state=RunState.QUEUED, edge="press-1")
GOOD = Exited(outcome=Outcome.OK, exit_code=0, outputs=Outputs(model=BLOB))
LOST = Exited(outcome=Outcome.LOST, reason="its container vanished")
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


SELECTED = play(QUEUED, Admitted(), Selected((), BLOB, None))
DISPATCHED = play(SELECTED, Dispatched(1, "press-1"))
RUNNING = said(DISPATCHED, Accepted(), Preparing(note="installing"), Started(executor="process"))
UPLOADING = said(RUNNING, GOOD)
CHECKING = play(UPLOADING, Fetched(1))


def of(run: Run, **changes: object) -> Run:
    """The run of a job that is otherwise the same."""
    return replace(run, job=JobSpec.model_validate(JOB.model_dump() | changes))


def over(run: Run) -> Run:
    """The run after the deadline of its present state."""
    assert run.deadline is not None
    return play(run, DeadlinePassed(run.deadline))


def test_a_good_run_goes_all_the_way() -> None:
    """Each state asks for exactly what must be done next, and the end asks for nothing."""
    assert pending(QUEUED) == TakeTurn()
    assert pending(play(QUEUED, Admitted())) == SelectData()
    assert pending(SELECTED) == Dispatch()
    assert (DISPATCHED.attempt, RUNNING.state) == (1, RunState.RUNNING)
    assert pending(UPLOADING) == FetchOutputs()
    assert pending(CHECKING) == RegisterModel()
    done = play(CHECKING, Registered(1, "iris", 7, "version 7 is in use"))
    assert (done.state, done.version, done.deadline, pending(done)) == (RunState.SUCCEEDED, 7, None, None)


def test_a_failed_script_ends_with_its_reason_once_its_log_is_here() -> None:
    """A failed task is given a moment for its log, then the run ends with what the edge said."""
    ended = said(RUNNING, BAD)
    assert (ended.state, pending(ended)) == (RunState.UPLOADING, FetchOutputs())
    for after in (play(ended, Fetched(1)), over(ended), play(ended, Gone(1, "its disk was wiped"))):
        assert (after.state, after.reason) == (RunState.FAILED, "train.py ended with 3")


def test_what_fetching_and_checking_wait_for_is_told() -> None:
    """The reason says it while it is so, and nothing else changes; a run on its edge is not concerned."""
    for run in (UPLOADING, CHECKING):
        assert play(run, Waits("press-1 does not answer")) == replace(run, reason="press-1 does not answer")
    assert play(UPLOADING, Waits("press-1 does not answer"), Fetched(1)) == CHECKING
    assert play(RUNNING, Waits("no edge fits")) == RUNNING


def test_a_timed_out_script_is_told_apart() -> None:
    """The edge's own limit gives TIMED_OUT, not FAILED."""
    late = said(RUNNING, Exited(outcome=Outcome.TIMED_OUT, reason="ran longer than 60 s"))
    assert play(late, Fetched(1)).state is RunState.TIMED_OUT


def test_repeats_and_gaps_change_nothing() -> None:
    """Only the next sequence number is taken: QoS 1 repeats, and a lost event is sent again before the later ones."""
    repeated = advance(RUNNING, EdgeSaid(1, 2, Preparing(note="installing")), NOW)
    beyond_a_gap = advance(RUNNING, EdgeSaid(1, RUNNING.last_sequence + 2, GOOD), NOW)
    assert repeated == beyond_a_gap == RUNNING


def test_a_lost_edge_is_tried_again_and_its_late_result_refused() -> None:
    """The attempt is the fencing token: after the lease ended, the earlier attempt's success counts for nothing."""
    again = play(RUNNING, LeaseEnded(1, 3601.0))
    assert (again.state, pending(again)) == (RunState.QUEUED, Dispatch())
    second = play(again, Dispatched(2, "press-2"))
    assert (second.attempt, second.edge, second.last_sequence, second.started) == (2, "press-2", 0, None)
    assert advance(second, EdgeSaid(1, 4, GOOD), NOW) == second
    assert play(second, Found(1)) == second
    assert play(second, LeaseEnded(2, 3601.0)).state is RunState.LOST


def test_an_edge_that_is_back_with_its_attempt_goes_on() -> None:
    """A lease that ended too early costs nothing: the attempt that the edge still has is taken up where it was."""
    given_up = play(RUNNING, LeaseEnded(1, 3601.0))
    back = play(given_up, Found(1))
    assert (back.state, back.attempt, back.last_sequence) == (RunState.RUNNING, 1, RUNNING.last_sequence)
    assert play(said(back, GOOD), Fetched(1)).state is RunState.CHECKING


def test_a_job_may_wait_for_its_silent_edge() -> None:
    """With silence.replace false no second attempt begins while the first may be alive, also when it is the last."""
    patient = of(RUNNING, silence={"lost_after": 60, "replace": False}, retry={"max_attempts": 1})
    waits = play(patient, LeaseEnded(1, 61.0))
    assert (waits.state, may_be_alive(waits), "silence.replace" in waits.reason) == (RunState.QUEUED, True, True)
    assert play(waits, Found(1)).state is RunState.RUNNING
    assert play(waits, Gone(1, "press-1 is back without attempt 1")).state is RunState.LOST
    assert over(waits).state is RunState.TIMED_OUT


@pytest.mark.parametrize("run", [RUNNING, said(DISPATCHED, Accepted()), UPLOADING])
def test_an_attempt_that_its_edge_has_lost_is_over_at_once(run: Run) -> None:
    """A wiped disk is not asked for the same attempt again: another one begins, from the same frozen data."""
    again = play(run, Gone(1, "press-1 has lost attempt 1"))
    assert (again.state, again.task, may_be_alive(again)) == (RunState.QUEUED, BLOB, False)
    assert in_manifest(again) is None
    assert play(again, Dispatched(2, "press-1")).attempt == 2


def test_an_accepted_attempt_is_never_asked_for_anew() -> None:
    """Only before its edge has accepted an attempt may the manifest start it there."""
    assert [in_manifest(run) for run in (SELECTED, DISPATCHED, RUNNING, UPLOADING)] == [
        None,
        ("press-1", 1, False),
        ("press-1", 1, True),
        ("press-1", 1, True),
    ]


def test_a_finished_attempt_is_not_given_up() -> None:
    """What was trained well is waited for, however silent its edge is: only the deadline ends that."""
    assert play(UPLOADING, LeaseEnded(1, 99999.0)) == UPLOADING


TRIED_AGAIN = [
    (Outcome.OUT_OF_DISK, ("out_of_disk",), True),
    (Outcome.OUT_OF_DISK, ("edge_lost",), False),
    (Outcome.LOST, ("edge_lost",), True),
    (Outcome.SCRIPT_FAILED, ("edge_lost", "out_of_disk"), False),
    (Outcome.SCRIPT_FAILED, ("script_failed",), True),
    (Outcome.TIMED_OUT, ("edge_lost", "out_of_disk", "script_failed"), False),
    (Outcome.OUTPUT_REFUSED, ("edge_lost", "out_of_disk", "script_failed"), False),
    (Outcome.PREPARE_FAILED, ("edge_lost", "out_of_disk", "script_failed"), False),
]


@pytest.mark.parametrize(("outcome", "on", "again"), TRIED_AGAIN)
def test_only_what_the_job_names_is_tried_again(outcome: Outcome, on: tuple[str, ...], again: bool) -> None:
    """An attempt is followed by another for the reasons that the job gives, once its log is here."""
    run = said(of(RUNNING, retry={"on": on}), Exited(outcome=outcome, reason="it went wrong"))
    assert run.state is RunState.UPLOADING
    after = play(run, Fetched(1))
    assert (after.state is RunState.QUEUED) == again
    assert "it went wrong" in after.reason


def test_pauses_between_attempts_grow_to_their_cap() -> None:
    """The pause doubles with each attempt up to the cap, and the last failure ends the run with its own state."""
    run = of(SELECTED, retry={"on": ["script_failed"], "max_attempts": 5, "backoff": 10, "backoff_cap": 35})
    pauses = []
    for attempt in range(1, 5):
        run = play(said(play(run, Dispatched(attempt, "press-1")), BAD), Fetched(attempt))
        assert run.not_before is not None
        assert run.deadline is not None
        assert run.deadline > run.not_before
        pauses.append((run.not_before - NOW).total_seconds())
    assert pauses == [10, 20, 35, 35]
    last = play(said(play(run, Dispatched(5, "press-1")), BAD), Fetched(5))
    assert (last.state, last.reason) == (RunState.FAILED, "train.py ended with 3; it was attempt 5 of 5")


def test_a_huge_number_of_attempts_has_a_finite_pause() -> None:
    """Doubling ends at the cap also where a float would end before."""
    assert pause_s(Retry(max_attempts=10**9), 10**9) == 600.0


ALL_LIVE = [
    QUEUED,
    play(QUEUED, Admitted()),
    SELECTED,
    DISPATCHED,
    said(DISPATCHED, Accepted()),
    RUNNING,
    UPLOADING,
    said(RUNNING, BAD),
    CHECKING,
    play(RUNNING, LeaseEnded(1, 3601.0)),
    play(RUNNING, Gone(1, "wiped")),
]


@pytest.mark.parametrize("run", ALL_LIVE)
def test_cancel_works_in_every_live_state(run: Run) -> None:
    """Whatever a run is doing, a person can end it, whether or not its edge is there (defect 19)."""
    after = play(run, CancelAsked("not needed"))
    assert (after.state, after.reason, after.deadline) == (RunState.CANCELLED, "not needed", None)
    assert in_manifest(after) is None


@pytest.mark.parametrize("run", ALL_LIVE[3:])
def test_every_live_state_has_a_deadline_and_a_reason(run: Run) -> None:
    """`Why is it not running?` has an answer, and an end: no crashed run blocks the later ones for ever.

    (defects 11, 18)
    """
    assert run.deadline is not None
    assert run.deadline > NOW
    assert run.reason
    assert over(run).state not in LIVE


def test_a_deadline_that_was_left_behind_ends_nothing() -> None:
    """A run that moved on while its last state's deadline was noticed goes on."""
    assert DISPATCHED.deadline is not None
    accepted = advance(DISPATCHED, EdgeSaid(1, 1, Accepted()), NOW + timedelta(seconds=1))
    assert play(accepted, DeadlinePassed(DISPATCHED.deadline)) == accepted


def test_a_lost_lease_does_not_stop_what_needs_no_edge() -> None:
    """Once everything is here, the model is checked and registered however silent the edge is."""
    assert play(CHECKING, LeaseEnded(1, 9999.0), Gone(1, "wiped")) == CHECKING


def test_an_event_without_sense_is_our_own_bug() -> None:
    """A registration of a run that waits for its edge cannot happen, and is not hidden when it does."""
    with pytest.raises(InvalidTransition, match="queued"):
        advance(QUEUED, Registered(0, "iris", 1, ""), NOW)


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([Admitted(), Selected((), BLOB, None), Waits("busy"), Refused("nothing new")]),
    st.builds(Dispatched, st.integers(1, 4), st.sampled_from(["press-1", "press-2"])),
    st.builds(DeadlinePassed, st.integers(0, 40).map(lambda second: NOW + timedelta(days=7, seconds=second))),
    st.builds(Gone, st.integers(0, 3), st.just("wiped")),
    st.builds(Failed, st.integers(0, 3), st.just("disk full")),
    st.builds(Found, st.integers(0, 3)),
    st.just(CancelAsked("enough")),
    st.builds(Fetched, st.integers(0, 3)),
    st.builds(LeaseEnded, st.integers(0, 3), st.just(4000.0)),
    st.builds(Registered, st.integers(0, 3), st.just("iris"), st.integers(1, 9), st.just("registered")),
    st.builds(
        EdgeSaid,
        st.integers(0, 3),
        st.integers(1, 6),
        st.sampled_from([Accepted(), Preparing(note="x"), Started(executor="docker"), GOOD, BAD, LOST]),
    ),
)


@given(st.lists(EVENTS, max_size=40))
def test_any_order_of_events_keeps_the_promises(events: list[Event]) -> None:
    """However events are lost, repeated and mixed: attempts only grow, an ended run stays, success means registered.

    (defects 12, 13)
    """
    run = QUEUED
    for second, event in enumerate(events):
        before = run
        try:
            run = advance(run, event, NOW + timedelta(seconds=second))
        except InvalidTransition:
            assert not isinstance(
                event, EdgeSaid | CancelAsked | DeadlinePassed | LeaseEnded | Gone
            )  # these come from outside
            continue
        assert before.attempt <= run.attempt <= JOB.retry.max_attempts
        assert run == before or before.state in LIVE
        assert (run.state in LIVE) == (run.ended_at is None)
        assert run.attempt == before.attempt or isinstance(event, Dispatched)
        assert run.edge == before.edge or run.attempt > before.attempt
        assert run.task == before.task or before.task is None  # every attempt is given the same
        assert (run.version is not None) == (run.state is RunState.SUCCEEDED)
        if run.version is not None and before.version is None:
            assert isinstance(event, Registered)
            assert event.attempt == before.attempt
            assert before.exited is not None
            assert before.exited.outcome is Outcome.OK
        if run.state in ON_EDGE:
            assert run.attempt > 0
            assert run.task is not None
