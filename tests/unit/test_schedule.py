"""When jobs are due."""

from datetime import UTC, datetime

import pytest

from controller.schedule import next_fire
from schemas.errors import BadInput
from schemas.schedules import Schedule

MONDAY = datetime(2026, 3, 30, 5, 0, tzinfo=UTC)


def due(after: datetime = MONDAY, anchor: datetime = MONDAY, **schedule: object) -> datetime | None:
    """When such a schedule is due after ``after``."""
    return next_fire(Schedule.model_validate(schedule), anchor=anchor, after=after)


def test_a_period_counts_from_its_anchor() -> None:
    """However late one asks, the next firing lies a whole number of periods after the anchor."""
    assert due(every="90s") == datetime(2026, 3, 30, 5, 1, 30, tzinfo=UTC)
    assert due(after=datetime(2026, 3, 30, 5, 4, tzinfo=UTC), every="90s") == datetime(
        2026, 3, 30, 5, 4, 30, tzinfo=UTC
    )


def test_a_time_that_is_due_now_is_not_due_again() -> None:
    """Asking at a firing gives the one after it, so no tick is seen twice."""
    assert due(after=datetime(2026, 3, 30, 5, 1, 30, tzinfo=UTC), every="90s") == datetime(
        2026, 3, 30, 5, 3, tzinfo=UTC
    )
    assert due(cron="0 5 * * *") == datetime(2026, 3, 31, 5, 0, tzinfo=UTC)


def test_a_single_time_is_due_once() -> None:
    """`at` fires when it is ahead and never when it has passed."""
    ahead = datetime(2026, 4, 1, tzinfo=UTC)
    assert due(at=ahead) == ahead
    assert due(at=ahead, after=ahead) is None


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "0,7"])
def test_sunday_is_zero_as_in_crontab(sunday: str) -> None:
    """Weekday numbers are crontab's, not APScheduler's."""
    assert due(cron=f"0 5 * * {sunday}") == datetime(2026, 4, 5, 5, 0, tzinfo=UTC)


def test_either_day_field_fits() -> None:
    """With both day fields given, a day that fits one of them is enough, as in crontab."""
    assert due(cron="0 0 13 * fri") == datetime(2026, 4, 3, tzinfo=UTC)


def test_local_time_moves_with_daylight_saving() -> None:
    """Eight in Paris is seven in UTC in winter and six in summer."""
    winter = due(after=datetime(2026, 3, 28, 12, tzinfo=UTC), cron="0 8 * * 1-5", timezone="Europe/Paris")
    before = due(after=datetime(2026, 3, 26, 12, tzinfo=UTC), cron="0 8 * * 1-5", timezone="Europe/Paris")
    assert before == datetime(2026, 3, 27, 7, 0, tzinfo=UTC)
    assert winter == datetime(2026, 3, 30, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["61 * * * *", "* * * * 8", "* * * * fri-mon", "a b c d e", "* * 0 * *"])
def test_a_wrong_cron_field_is_named(text: str) -> None:
    """What crontab would not take is refused with the text itself."""
    with pytest.raises(BadInput, match=r"schedule\.cron"):
        due(cron=text)
