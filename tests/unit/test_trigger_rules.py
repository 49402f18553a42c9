"""When data makes a job due."""

from datetime import UTC, datetime, timedelta

import pytest

from controller.runs.trigger_rules import (
    NumberSeen,
    RowsSeen,
    Verdict,
    as_number,
    described,
    judge,
    most_counted,
    position_behind,
    told,
)
from schemas.schedules import NewRows, Threshold

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
ROWS = NewRows(new_rows=100, collection="readings")
ERROR = Threshold(query="SELECT avg(error)\n FROM readings", above=0.3, again_after=3600)


def crossed(value: float | None, since: datetime | None = None, *, now: datetime = NOW, busy: bool = False) -> Verdict:
    """What the error trigger makes of a value."""
    return judge(ERROR, NumberSeen(value), crossed_at=since, now=now, busy=busy)


def test_enough_new_rows_make_a_job_due() -> None:
    """At the number asked for, not below it, and not while a run goes on; the cause says how many there were."""

    def cause(count: int, *, busy: bool = False) -> str:
        return judge(ROWS, RowsSeen(5, 5 + count, count), crossed_at=None, now=NOW, busy=busy).cause

    assert cause(99) == ""
    assert cause(100) == "100 new rows in readings"
    assert cause(120, busy=True) == ""
    assert cause(most_counted(ROWS)) == "at least 10100 new rows in readings"


def test_new_rows_are_those_that_the_last_run_did_not_see() -> None:
    """A run that read the collection tells exactly how far; one that did not is taken to have seen everything."""
    assert position_behind(40, accounted=True, last_run_upto=90, upto=100) == 40
    assert position_behind(40, accounted=False, last_run_upto=90, upto=100) == 90
    assert position_behind(40, accounted=False, last_run_upto=None, upto=100) == 100
    assert position_behind(95, accounted=False, last_run_upto=90, upto=100) == 95


def test_a_threshold_makes_a_job_due_when_it_is_crossed_and_not_while_it_stays_so() -> None:
    """Beyond the limit once is due once; back and beyond again is due again."""
    first = crossed(0.31)
    assert first == Verdict("SELECT avg(error) FROM readings gave 0.31, above 0.3", crossed_at=NOW)
    assert crossed(0.5, NOW, now=NOW + timedelta(minutes=59)) == Verdict("", crossed_at=NOW)
    assert crossed(0.3, NOW) == Verdict("", crossed_at=None)
    assert crossed(None, NOW) == Verdict("", crossed_at=None)


def test_a_threshold_that_stays_crossed_is_due_again_after_a_while() -> None:
    """With ``again_after`` a model that did not help is trained once more."""
    later = NOW + timedelta(hours=1)
    assert crossed(0.5, NOW, now=later).crossed_at == later
    assert crossed(0.5, NOW, now=later).cause
    never = ERROR.model_copy(update={"again_after": None})
    assert judge(never, NumberSeen(0.5), crossed_at=NOW, now=NOW + timedelta(days=99), busy=False).cause == ""


def test_a_threshold_crossed_during_a_run_waits_for_its_end() -> None:
    """It is not taken note of while the job is busy, so that the first look after it makes the job due."""
    assert crossed(0.5, busy=True) == Verdict("", crossed_at=None)
    assert crossed(0.5).cause


def test_below_is_the_other_way_round() -> None:
    """A limit from below is crossed downwards, also a limit of zero."""
    falling = Threshold(query="SELECT min(x) FROM readings", below=0.0)
    assert judge(falling, NumberSeen(-0.1), crossed_at=None, now=NOW, busy=False).cause.endswith("gave -0.1, below 0")
    assert judge(falling, NumberSeen(0.0), crossed_at=None, now=NOW, busy=False).cause == ""


@pytest.mark.parametrize(("value", "number"), [(None, None), (True, 1.0), (3, 3.0), (0.5, 0.5), (float("nan"), None)])
def test_numbers_are_numbers(value: object, number: float | None) -> None:
    """NULL and NaN are none; truth counts as one."""
    assert as_number(value) == number


@pytest.mark.parametrize("value", ["0.5", b"1", [1]])
def test_what_is_no_number_is_refused(value: object) -> None:
    """Text that looks like one is not taken for one."""
    with pytest.raises(ValueError, match="which is no number"):
        as_number(value)


def test_triggers_are_told_in_a_line() -> None:
    """What is waited for and what was seen, however long the query is."""
    assert described(ROWS) == "100 new rows in readings"
    assert described(ERROR) == "SELECT avg(error) FROM readings above 0.3"
    assert told(ERROR, NumberSeen(0.1)) == "SELECT avg(error) FROM readings gave 0.1"
    assert told(ERROR, NumberSeen(None)) == "its query gave no number"
    long = Threshold(query=" + ".join(["SELECT x", *["x"] * 100, "x FROM readings"]), below=1)
    assert len(described(long)) < 120
