"""The window node in an engine: what a message's run gives, what begins runs of its own, and what is kept."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline_runtime.broker import Told
from pipeline_runtime.windows.panes import Grid
from pipeline_runtime.windows.window_store import WindowStore
from pipeline_runtime.windows.windows import CountWindows
from tests.unit.engine_desk import Desk, Written, desk, until

IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "in/{line}"}
OUT: Written = {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["w"]}
MEAN: Written = {"m": {"use": "mean", "of": "t"}}


def nodes(**params: object) -> list[Written]:
    """A pipeline that publishes what windows give."""
    return [IN, {"id": "w", "type": "window", "inputs": ["in"], **params}, OUT]


async def published(made: Desk, count: int) -> list[object]:
    """What lies there, as soon as it is so much."""
    await until(lambda: len(made.bodies()) >= count)
    return made.bodies()


async def test_a_window_is_the_result_of_the_message_that_closes_it() -> None:
    """With its key, its times, its rows and its values; other messages' runs end there."""
    async with desk(nodes(size="10s", time="ts", by="machine", late="2s", values=MEAN)) as made:
        for ts, machine, t in [(1, "a", 1), (9, "a", 3), (5, "b", 5), (11.5, "a", 7), (0, "a", 5)]:
            await made.answered({"ts": ts, "machine": machine, "t": t}, "in/1")
        assert made.published == []
        assert made.results["out"] == "skipped"
        await made.answered({"ts": "1970-01-01T00:00:12Z", "machine": "a", "t": 9}, "in/1")
        window = {"start": "1970-01-01T00:00:00+00:00", "end": "1970-01-01T00:00:10+00:00"}
        a, b = await published(made, 2)  # one is the result, the other begins a run
        assert a == {"key": "a", **window, "count": 3, "m": 3.0, "late": 0}
        assert b == {"key": "b", **window, "count": 1, "m": 5.0, "late": 0}
        await made.answered({"ts": 3, "machine": "a", "t": 9}, "in/1")
        await made.answered({"ts": 22, "machine": "a", "t": 9}, "in/1")
        assert (await published(made, 3))[2] == {
            "key": "a",
            "start": "1970-01-01T00:00:10+00:00",
            "end": "1970-01-01T00:00:20+00:00",
            "count": 2,
            "m": 8.0,
            "late": 1,
        }


async def test_many_windows_that_close_at_once_come_in_order() -> None:
    """Sliding ones, for one."""
    async with desk(nodes(size=10, every=2, time="ts", values={"all": {"use": "rows"}})) as made:
        await made.answered({"ts": 1}, "in/1")
        await made.answered({"ts": 100}, "in/1")
        assert [(body["start"][-11:-6], body["all"]) for body in await published(made, 5)] == [  # type: ignore[index]
            (start, [{"ts": 1}]) for start in ("59:52", "59:54", "59:56", "59:58", "00:00")
        ]


async def test_windows_of_rows() -> None:
    """The mean of the last three, with every row: what was there together goes together."""
    async with desk(nodes(count=3, every=1, values=MEAN)) as made:
        letters = [made.hand_in({"t": t}, "in/1") for t in (1, 2, 3, 4)]
        for letter in letters:
            await letter.acknowledged.wait()
        assert made.bodies() == [{"count": 3, "m": 2.0}, {"count": 3, "m": 3.0}]


async def test_what_is_wrong_with_a_message_costs_that_message() -> None:
    """It is in no window, and says why."""
    async with desk(nodes(size="10s", time="ts", by="machine", values=MEAN)) as made:
        good: Written = {"ts": 1, "machine": "a", "t": 1}
        wrong: list[Written] = [{"ts": None}, {"ts": "noon"}, {"ts": 9e12}, {"ts": 33e9}, {"machine": [1]}, {"t": "x"}]
        letters = [made.hand_in({**good, **fault}, "in/1") for fault in wrong]
        letters.append(made.hand_in(good, "in/1"))
        letters.append(made.hand_in({**good, "ts": 10, "t": None}, "in/1"))
        for letter in letters:
            await letter.acknowledged.wait()
        assert [error for _, error in made.letters()] == [
            "time: null is no time; give seconds since 1970, or an ISO 8601 text",
            "time: 'noon' is no ISO 8601 time",
            "time: 9000000000000.0 lies outside the years 1900 to 9000; is it in milliseconds?",
            "the time 33000000000.0 is further ahead of the clock than `ahead` allows",
            "by: machine gives [1], which is no key; make it a text, a number or a truth value",
            'values.m: "x" is no number',
        ]
        (body,) = await published(made, 1)
        assert isinstance(body, dict)
        assert (body["count"], body["m"]) == (1, 1.0)


async def test_without_a_time_the_clock_closes_windows() -> None:
    """No message is needed for it, and none is lost."""
    async with desk(nodes(size="20ms", values={"n": {"use": "count"}})) as made:
        for _ in range(20):
            await made.answered({}, "in/1")
        await until(lambda: sum(body["count"] for body in made.bodies()) >= 20)  # type: ignore[index]
        assert sum(body["n"] for body in made.bodies()) == 20  # type: ignore[index]


@pytest.mark.parametrize("params", [{"size": "10s", "time": "ts"}, {"count": 100}])
async def test_after_a_silence_open_windows_close(params: Written) -> None:
    """So that the last one of a day comes out."""
    async with desk(nodes(idle="10ms", **params)) as made:
        await made.answered({"ts": 1}, "in/1")
        (body,) = await published(made, 1)
        assert isinstance(body, dict)
        assert body["count"] == 1


async def test_a_new_version_takes_up_the_open_windows(tmp_path: Path) -> None:
    """And one that makes windows otherwise begins anew."""
    async with desk(nodes(count=3), state=tmp_path) as made:
        await made.answered({}, "in/1")
        await made.answered({}, "in/1")
        await made.load(nodes(count=3), version=2, state=tmp_path)
        await made.answered({}, "in/1")
        assert made.bodies() == [{"count": 3}]
        await made.answered({}, "in/1")
        await made.load(nodes(count=2), version=3, state=tmp_path)
        await made.answered({}, "in/1")
        assert len(made.bodies()) == 1
        await made.answered({}, "in/1")
        assert made.bodies() == [{"count": 3}, {"count": 2}]


async def test_a_swap_gives_no_result_twice(tmp_path: Path) -> None:
    """Results that wait for room while the version changes are those that lie on disk: each comes once, in order."""
    spec = nodes(size=10, time="ts", by="m")
    async with desk(spec, state=tmp_path, queue={"in_flight": 1}) as made:
        for machine in "abcd":
            await made.answered({"ts": 1, "m": machine}, "in/1")
        with holding(made) as held:
            closing = made.hand_in({"ts": 11, "m": "a"}, "in/1")  # closes all four; the others begin runs of their own
            await until(lambda: len(held) == 1)
            swap = asyncio.create_task(made.load(spec, version=2, state=tmp_path, queue={"in_flight": 1}))
            await until(lambda: made.engine._held > 0)
            held[0](None)
            await closing.acknowledged.wait()
            await swap
            for count in (2, 3, 4):
                await until(lambda count=count: len(held) >= count)  # type: ignore[misc]
                held[count - 1](None)
        await made.answered({"ts": 12, "m": "a"}, "in/1")
        assert (len(held), made.bodies()) == (4, [])


async def test_a_row_that_is_asked_again_counts_once(tmp_path: Path) -> None:
    """As `on_error` has it when the disk did not take it the first time."""
    async with desk(nodes(count=2), state=tmp_path, on_error={"retry": 1, "backoff": "1ms"}) as made:
        other = sqlite3.connect(tmp_path / "w" / "windows.sqlite")
        other.executescript(
            "CREATE TABLE once (n); INSERT INTO once VALUES (1);"
            "CREATE TRIGGER full BEFORE INSERT ON journal WHEN (SELECT count(*) FROM once)"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        letter = made.hand_in({}, "in/1")
        other.execute("DELETE FROM once")
        other.commit()
        await letter.acknowledged.wait()
        other.close()
        assert made.letters() == []
        await made.answered({}, "in/1")
        assert made.bodies() == [{"count": 2}]


async def test_numbers_beyond_all_floats_are_none_and_stay_so(tmp_path: Path) -> None:
    """Their sum, mean and deviation are null, also after a restart in the middle."""
    values = {"s": {"of": "v", "use": "sum"}, "m": {"of": "v", "use": "mean"}, "d": {"of": "v", "use": "stddev"}}
    spec = nodes(count=4, values=values)
    async with desk(spec, state=tmp_path) as made:
        for _ in range(3):
            await made.answered({"v": 1.7e308}, "in/1")
    async with desk(spec, state=tmp_path) as made:
        await made.answered({"v": 1.0}, "in/1")
        assert made.bodies() == [{"count": 4, "s": None, "m": None, "d": None}]


async def test_what_json_has_no_form_for_costs_its_own_message(tmp_path: Path) -> None:
    """A value that is a function of the expression language, and an infinite one, beside messages that are right."""
    values = {"last": {"of": "bad ? $sum : v", "use": "last"}, "sum": {"of": "n = 0 ? 1e308 * 10 : n", "use": "sum"}}
    async with desk(nodes(count=2, by="k", values=values), state=tmp_path) as made:
        rows = [
            {"k": 1, "v": 1, "n": 1},
            {"k": 1, "bad": True, "n": 1},
            {"k": 1, "v": 1, "n": 0},
            {"k": 1, "v": 2, "n": 2},
        ]
        letters = [made.hand_in(row, "in/1") for row in rows]
        for letter in letters:
            await letter.acknowledged.wait()
        assert len(made.letters()) == 2
        assert made.bodies() == [{"key": 1, "count": 2, "last": 2, "sum": 3}]


async def test_a_result_whose_run_did_not_end_is_given_again(tmp_path: Path) -> None:
    """It lies on disk until it is published."""
    store = WindowStore(tmp_path / "w")
    windows = CountWindows(Grid(3, 3), [])
    store.restore(windows, "of another making")
    store.write(windows, [], [(7, {"count": 3, "left": "over"})])
    store.close()
    async with desk(nodes(count=3), state=tmp_path) as made:
        assert await published(made, 1) == [{"count": 3, "left": "over"}]
    store = WindowStore(tmp_path / "w")
    assert store.restore(windows, "of another making").results == []
    store.close()


async def test_a_result_lies_on_disk_until_it_is_published(tmp_path: Path) -> None:
    """Whether it is a message's own or begins a run; the message is not acknowledged before that."""
    async with desk(nodes(size=10, time="ts", by="m"), state=tmp_path) as made:
        other = sqlite3.connect(tmp_path / "w" / "windows.sqlite")

        def on_disk() -> int:
            (count,) = other.execute("SELECT COUNT(*) FROM results").fetchone()
            return int(count)

        for machine in "ab":
            await made.answered({"ts": 1, "m": machine}, "in/1")
        with holding(made) as held:
            letter = made.hand_in({"ts": 11, "m": "a"}, "in/1")
            await until(lambda: len(held) == 2)
            assert on_disk() == 2
            assert not letter.acknowledged.is_set()
            for told in held:
                told(None)
        await letter.acknowledged.wait()
        await made.answered({"ts": 12, "m": "a"}, "in/1")
        assert on_disk() == 0
        other.close()


@contextmanager
def holding(made: Desk) -> Iterator[list[Told]]:
    """The broker takes publications, and does not say so."""
    held: list[Told] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "publish", lambda _, told: held.append(told))
        yield held


async def test_a_row_that_cannot_be_kept_fails_its_message(tmp_path: Path) -> None:
    """The one behind it, when there is room again, does not."""
    async with desk(nodes(count=2), state=tmp_path) as made:
        other = sqlite3.connect(tmp_path / "w" / "windows.sqlite")
        other.execute("CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        await made.answered({}, "in/1")
        assert made.letters() == [("w", "what is in the windows cannot be kept: disk full")]
        other.execute("DROP TRIGGER full")
        other.close()
        await made.answered({}, "in/1")
        assert made.bodies() == [{"count": 2}]
