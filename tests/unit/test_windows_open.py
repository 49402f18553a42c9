"""Maintenance windows: when an edge may be changed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.rollouts.windows import ALWAYS, opening
from schemas.maintenance import MaintenanceWindow

NIGHT = MaintenanceWindow(name="night", labels={"hall": "2"}, opens="0 22 * * *", lasts="4h", timezone="Europe/Paris")
NOON = MaintenanceWindow(name="noon", edges=("press-1",), opens="0 12 * * 1-5", lasts=1800)
MONDAY = datetime(2026, 6, 1, tzinfo=UTC)  # when Paris is two hours ahead


def test_an_edge_of_no_window_may_be_changed_at_any_time() -> None:
    """Neither its name nor its labels fit one."""
    assert opening([NIGHT, NOON], edge="press-9", labels={"hall": "3"}, now=MONDAY) == ALWAYS


@pytest.mark.parametrize(("hour", "is_open"), [(19.99, False), (20, True), (23.99, True), (24, False), (30, False)])
def test_a_window_is_open_from_its_time_on_as_long_as_it_lasts(hour: float, is_open: bool) -> None:
    """Its first moment is in it, the one at which it ends is not, and midnight does not matter."""
    now = MONDAY + timedelta(hours=hour)
    found = opening([NIGHT], edge="press-2", labels={"hall": "2"}, now=now)
    assert found.open is is_open
    assert found.window == "night"
    assert found.changes_at is not None
    assert found.changes_at > now


def test_any_of_an_edges_windows_is_enough() -> None:
    """An edge of two windows may be changed in each of them, and waits for the one that comes first."""
    labels, noon = {"hall": "2"}, MONDAY + timedelta(hours=12, minutes=5)
    assert opening([NIGHT, NOON], edge="press-1", labels=labels, now=noon).window == "noon"
    later = opening([NIGHT, NOON], edge="press-1", labels=labels, now=noon + timedelta(hours=1))
    assert (later.open, later.window, later.changes_at) == (False, "night", MONDAY + timedelta(hours=20))


@given(st.integers(0, 14 * 24 * 60), st.integers(1, 600))
def test_it_is_open_just_when_it_was_opened_lately(minutes: int, lasts_minutes: int) -> None:
    """Against going through all minutes before: open if one of the last `lasts` was an opening."""
    window = MaintenanceWindow(name="w", edges=("e",), opens="30 6 * * 2,5", lasts=lasts_minutes * 60)
    now = MONDAY + timedelta(minutes=minutes)
    moments = (now - timedelta(minutes=back) for back in range(lasts_minutes))
    expected = any(one.weekday() in {1, 4} and (one.hour, one.minute) == (6, 30) for one in moments)
    assert opening([window], edge="e", labels={}, now=now).open is expected


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"labels": {}}, "names its `edges`"),
        ({"opens": "22:00"}, "five fields"),
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"lasts": 1}, "60"),
        ({"begins": "now"}, "begins"),
    ],
)
def test_a_mistake_in_a_window_is_named(changes: dict[str, object], complaint: str) -> None:
    """Each field that is wrong is told."""
    document = {"name": "n", "labels": {"hall": "2"}, "opens": "0 22 * * *", "lasts": "4h", **changes}
    with pytest.raises(ValidationError, match=complaint):
        MaintenanceWindow.model_validate(document)
