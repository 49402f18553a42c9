"""Whose turn it is among the runs of one job."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runs.overlap import Rival, take_turn
from controller.runs.steps import Admitted, Refused, Waits
from schemas.schedules import OverlapPolicy

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
SKIP = OverlapPolicy()
QUEUE = OverlapPolicy(policy="queue", most=2)
CANCEL = OverlapPolicy(policy="cancel_previous")


def rival(minute: int, *, admitted: bool = False) -> Rival:
    """Another run of the job, of this minute's tick."""
    return Rival(UUID(int=minute), NOW + timedelta(minutes=minute), admitted)


GOES = rival(1, admitted=True)


@pytest.mark.parametrize("policy", [SKIP, QUEUE, CANCEL])
def test_a_run_alone_goes_on(policy: OverlapPolicy) -> None:
    """No policy holds up a run that meets no other; those of later ticks come behind it."""
    assert take_turn(policy, NOW, []).event == Admitted()
    assert take_turn(policy, NOW, [rival(1), rival(2)]).event == Admitted()


def test_skip_lets_the_new_run_go() -> None:
    """A tick that meets a live run is refused with its id, and the live run is left alone (defect 16)."""
    turn = take_turn(SKIP, NOW + timedelta(minutes=5), [GOES])
    assert isinstance(turn.event, Refused)
    assert str(GOES.id) in turn.event.reason
    assert turn.cancelled == ()


def test_queue_waits_behind_a_bounded_number() -> None:
    """So many runs wait as the job allows; the next is refused."""
    fifth = NOW + timedelta(minutes=5)
    assert isinstance(take_turn(QUEUE, fifth, [GOES]).event, Waits)
    assert isinstance(take_turn(QUEUE, fifth, [GOES, rival(2)]).event, Waits)
    assert isinstance(take_turn(QUEUE, fifth, [GOES, rival(2), rival(3)]).event, Refused)


def test_queue_goes_in_the_order_of_ticks() -> None:
    """When the live run has ended, the run of the oldest tick is the one that goes on."""
    others = [rival(2), rival(3), rival(4)]
    events = [take_turn(OverlapPolicy(policy="queue"), own.scheduled_at, others_of(own, others)) for own in others]
    assert [turn.event == Admitted() for turn in events] == [True, False, False]


def others_of(own: Rival, rivals: list[Rival]) -> list[Rival]:
    """All but one."""
    return [other for other in rivals if other != own]


def test_cancel_previous_ends_what_is_older() -> None:
    """The newest tick ends the others, those that wait included; an older tick that comes late gives way."""
    turn = take_turn(CANCEL, NOW + timedelta(minutes=5), [GOES, rival(2)])
    assert (turn.event, turn.cancelled) == (Admitted(), (GOES.id, rival(2).id))
    late = take_turn(CANCEL, NOW, [GOES])
    assert isinstance(late.event, Refused)
    assert late.cancelled == ()


@dataclass(frozen=True, slots=True)
class Step:
    """What happens next: a run is due, one takes its turn, or the first that goes on ends."""

    kind: str
    number: int


STEPS = st.lists(st.builds(Step, st.sampled_from(["due", "turn", "end"]), st.integers(0, 12)), max_size=60)


@given(st.sampled_from([SKIP, QUEUE, CANCEL]), STEPS)
def test_one_run_of_a_job_goes_at_a_time(policy: OverlapPolicy, steps: list[Step]) -> None:
    """However ticks come, turns are taken and runs end: never two go on, and never do all wait (defects 16, 18)."""
    live: dict[UUID, Rival] = {}
    for step in steps:
        due = rival(step.number)
        if step.kind == "due":
            live.setdefault(due.id, due)
        elif step.kind == "turn" and due.id in live and not live[due.id].admitted:
            _apply(policy, live, due)
        elif step.kind == "end":
            live = {run_id: run for run_id, run in live.items() if not run.admitted}
        assert sum(run.admitted for run in live.values()) <= 1
    if not any(run.admitted for run in live.values()):
        for run in sorted(live.values(), key=lambda run: run.scheduled_at):
            _apply(policy, live, run)
        assert bool(live) == any(run.admitted for run in live.values())


def _apply(policy: OverlapPolicy, live: dict[UUID, Rival], run: Rival) -> None:
    turn = take_turn(policy, run.scheduled_at, others_of(run, list(live.values())))
    for cancelled in turn.cancelled:
        del live[cancelled]
    if turn.event == Admitted():
        live[run.id] = replace(run, admitted=True)
    elif isinstance(turn.event, Refused):
        del live[run.id]
