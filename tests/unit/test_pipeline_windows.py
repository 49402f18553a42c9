"""Which windows close, when, and with what: compared with a reckoning that is slow and obvious."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_runtime.nodes.window import Params, Value
from pipeline_runtime.windows import panes, window_store
from pipeline_runtime.windows.panes import Grid
from pipeline_runtime.windows.window_rows import aggregate_of
from pipeline_runtime.windows.window_store import WindowStore
from pipeline_runtime.windows.windows import Closed, CountWindows, TimeWindows, Windows
from schemas.errors import BadPayload

USES = ("count", "sum", "mean", "min", "max", "first", "last", "stddev", "median", "rows")
AGGREGATES = [*(aggregate_of(Value.model_validate({"use": use, "of": "v"})) for use in USES)]
AGGREGATES.append(aggregate_of(Value(use="quantile", of="v", q=0.9)))


@dataclass(frozen=True)
class Row:
    """What a message brings."""

    key: str
    at: int
    value: float | None


def obvious(rows: Sequence[Row]) -> tuple[object, ...]:
    """What is told of rows, in the order in which they came."""
    in_time = sorted((row for row in rows if row.value is not None), key=lambda row: row.at)
    values = [row.value for row in in_time if row.value is not None]
    return (
        len(values),
        pytest.approx(fsum(values), rel=1e-9, abs=1e-9),
        pytest.approx(fsum(values) / len(values), rel=1e-9, abs=1e-9) if values else None,
        min(values, default=None),
        max(values, default=None),
        values[0] if values else None,
        values[-1] if values else None,
        pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6) if len(values) > 1 else None,
        pytest.approx(statistics.median(values), abs=1e-9) if values else None,
        values,
        pytest.approx(_inclusive(values, 0.9), abs=1e-9) if values else None,
    )


def _inclusive(values: Sequence[float], share: float) -> float:
    """As ``statistics`` cuts them, which wants two at least."""
    return statistics.quantiles(values, n=10, method="inclusive")[round(share * 10) - 1] if values[1:] else values[0]


Told = tuple[str, int, int, int, tuple[object, ...]]


def told(windows: Sequence[Closed]) -> list[Told]:
    """In a form that can be compared."""
    return [(one.key, one.start, one.end, one.rows, one.values) for one in windows]


def expected_by_time(rows: Sequence[Row], grid: Grid, lateness: int) -> tuple[list[list[Told]], int]:
    """For each row and for the end: the windows that close; and how many rows came too late."""
    watermark, late, closed = -(10**9), 0, []
    taken: dict[tuple[str, int], list[Row]] = {}  # by key and end, while they are open

    def close(until: int) -> list[Told]:
        over = sorted(((end, key) for key, end in taken if end <= until))
        return [(k, end - grid.size, end, len(r := taken.pop((k, end))), obvious(r)) for end, k in over]

    for row in rows:
        ends = [end for end in range(-100, 500) if (end - grid.size) % grid.every == 0]
        holding = [end for end in ends if end - grid.size <= row.at < end and end > watermark]
        for end in holding:
            taken.setdefault((row.key, end), []).append(row)
        late += not holding
        watermark = max(watermark, row.at - lateness) if holding else watermark
        closed.append(close(watermark))
    return [*closed, close(10**9)], late


def expected_by_count(rows: Sequence[Row], grid: Grid) -> list[list[tuple[str, int, tuple[object, ...]]]]:
    """For each row: the windows that close."""
    came: dict[str, list[Row]] = {}
    closed = []
    for row in rows:
        of_key = came.setdefault(row.key, [])
        of_key.append(Row(row.key, len(of_key), row.value))
        start = len(of_key) - grid.size
        full = start >= 0 and start % grid.every == 0
        closed.append([(row.key, grid.size, obvious(of_key[start:]))] if full else [])
    return closed


ROWS = st.lists(
    st.builds(
        Row,
        st.sampled_from(['"a"', '"b"', "1"]),
        st.integers(0, 60),
        st.none() | st.integers(-9, 9) | st.floats(-1e6, 1e6),
    ),
    max_size=40,
)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Tumbling and sliding."""
    size = draw(st.integers(1, 20))
    return Grid(size, draw(st.sampled_from([size, draw(st.integers(1, size))])))


@given(rows=ROWS, grid=grids(), lateness=st.integers(0, 20))
@settings(max_examples=300)
def test_windows_of_time_are_what_an_obvious_reckoning_gives(rows: list[Row], grid: Grid, lateness: int) -> None:
    """Each row in each of its windows that is open, and each window once, in order, as soon as it is over."""
    windows = TimeWindows(grid, AGGREGATES, lateness)
    closed = [told(windows.add(row.key, row.at, [row.value] * len(AGGREGATES))) for row in rows]
    closed.append(told(windows.flush()))
    expected, late = expected_by_time(rows, grid, lateness)
    assert closed == expected
    assert windows.late == late
    assert (windows.panes.count, windows.panes.of) == (0, {})


@given(rows=ROWS, grid=grids())
@settings(max_examples=150)
def test_windows_of_rows_are_what_an_obvious_reckoning_gives(rows: list[Row], grid: Grid) -> None:
    """The last so many rows of a key, so often; nothing that no window needs is kept."""
    windows = CountWindows(grid, AGGREGATES)
    closed = [windows.add(row.key, row.at, [row.value] * len(AGGREGATES)) for row in rows]
    assert [[(one.key, one.rows, one.values) for one in some] for some in closed] == expected_by_count(rows, grid)
    assert windows.panes.count <= 3 * (grid.size // grid.pane + 1)


def test_rows_that_do_not_fill_a_window_are_told_by_a_flush() -> None:
    """And the next row begins the next window."""
    windows = CountWindows(Grid(3, 3), AGGREGATES[:1])
    for _ in range(4):
        windows.add('"a"', 0, [1])
    assert [(one.rows, one.values) for one in windows.flush()] == [(1, (1,))]
    assert windows.flush() == []
    assert [len(windows.add('"a"', 0, [1])) for _ in range(3)] == [0, 0, 1]


MAKERS: list[Callable[[Grid, int], Windows]] = [
    lambda grid, lateness: TimeWindows(grid, AGGREGATES, lateness),
    lambda grid, _: CountWindows(grid, AGGREGATES),
]


@given(rows=ROWS, grid=grids(), lateness=st.integers(0, 20), data=st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("make", MAKERS)
def test_what_was_open_is_found_again(
    make: Callable[[Grid, int], Windows], rows: list[Row], grid: Grid, lateness: int, data: st.DataObject
) -> None:
    """Whenever the process ends, the windows close as if it had not."""
    lost = data.draw(st.sets(st.integers(0, 40), max_size=5))
    whole, broken = make(grid, lateness), make(grid, lateness)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_store, "JOURNAL_ROWS", 3)
        store = WindowStore(Path(folder))
        store.restore(broken, "same")
        for index, row in enumerate(rows):
            if index in lost:
                store.close()
                store, broken = WindowStore(Path(folder)), make(grid, lateness)
                for kept in store.restore(broken, "same").journal:
                    assert broken.add(*kept) == []
            values = [row.value] * len(AGGREGATES)
            closed = broken.add(row.key, row.at, values)
            store.write(broken, [(row.key, row.at, values)], [(1, None)] if closed else [])
            assert told(closed) == told(whole.add(row.key, row.at, values))
        assert broken.late == whole.late
        store.close()


def test_results_lie_on_disk_until_they_are_delivered(tmp_path: Path) -> None:
    """And windows that are made otherwise do not take up the rows of those before."""
    windows = TimeWindows(Grid(10, 10), AGGREGATES[:1])
    store = WindowStore(tmp_path)
    store.restore(windows, "one")
    store.write(windows, [], [(1, {"a": 1}), (2, {"a": 2})])
    windows.add('"a"', 1, [1])
    store.write(windows, [('"a"', 1, [1])], delivered=[1])
    store.close()
    store = WindowStore(tmp_path)
    kept = store.restore(TimeWindows(Grid(5, 5), AGGREGATES[:1]), "other")
    assert (kept.dropped, kept.journal, kept.results) == (1, [], [(2, {"a": 2})])
    assert store.restore(windows, "other").dropped == 0
    store.close()


def test_what_a_node_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without end, and rows without end, cost messages and not the machine."""
    monkeypatch.setattr(panes, "MOST_PANES", 2)
    monkeypatch.setattr(panes, "MOST_KEPT", 3)
    windows = TimeWindows(Grid(10, 10), [AGGREGATES[USES.index("rows")]])
    for key in ("1", "2"):
        windows.add(key, 1, [1])
    with pytest.raises(BadPayload, match="2 windows are open"):
        windows.add("3", 1, [1])
    windows.add("1", 1, [1])
    windows.add("1", 1, [1])
    with pytest.raises(BadPayload, match="keeps no more than 3 rows"):
        windows.add("1", 1, [1])
    assert [one.rows for one in windows.flush()] == [3, 1]
    adding = TimeWindows(Grid(10, 10), AGGREGATES[:2])
    assert [adding.add("1", 1, [1, 1]) for _ in range(5)] == [[]] * 5  # nothing grows with these


def test_sums_lose_nothing() -> None:
    """Neither small numbers beside large ones, nor whole numbers."""
    total = AGGREGATES[USES.index("sum")]
    state = total.start()
    for number in (1e100, 1, -1e100, 1):
        total.add(state, 0, number)
    assert total.result(state) == 2
    state = total.start()
    for number in (2**53, 1, 1):
        total.add(state, 0, number)
    assert total.result(state) == 2**53 + 2
    state = total.start()
    for number in (1e308, 1e308):
        total.add(state, 0, number)
    assert total.result(state) is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "either a `size`"),
        ({"size": "10s", "count": 3}, "either a `size`"),
        ({"size": "10s", "every": "20s"}, "every: no more than"),
        ({"count": 10, "every": 2.5}, "a whole number of rows"),
        ({"count": 10, "every": 20}, "every: no more than"),
        ({"size": "10s", "every": "3ms"}, "at most 1000 parts"),
        ({"size": 0.0001}, "no less than 1ms"),
        ({"size": "10s", "late": "1s"}, "late: rows are only late"),
        ({"size": "10s", "idle": "1s"}, "idle: without `time`"),
        ({"count": 10, "every": 5, "idle": "1s"}, "that overlap"),
        ({"count": 10, "time": "ts"}, "as they come"),
        ({"count": 10, "values": {"count": {"use": "count"}}}, "take another name"),
        ({"count": 10, "values": {"x": {"use": "mean"}}}, "mean of what"),
        ({"count": 10, "values": {"x": {"use": "quantile", "of": "t"}}}, "needs `q`"),
        ({"count": 10, "values": {"x": {"use": "mean", "of": "t", "q": 0.5}}}, "needs `q`"),
        ({"count": 10, "values": {"x": {"use": "mean", "of": "t +"}}}, "Unexpected end of expression"),
    ],
)
def test_what_makes_no_window_is_refused(written: dict[str, object], said: str) -> None:
    """With what to write instead."""
    with pytest.raises(ValueError, match=said):
        Params.model_validate(written)
