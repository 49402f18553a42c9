"""Jobs that their data makes due: on real databases, with the real loop."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from tests.integration.trigger_site import TriggerSite, job

ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) + max(error) FROM n, readings"
)


@pytest.fixture
def site(tmp_path: Path, any_database_url: str) -> Iterator[TriggerSite]:
    """An empty site; its collections in each database."""
    opened = TriggerSite(f"sqlite:///{tmp_path / 'control.db'}", any_database_url)
    yield opened
    opened.close()


async def test_enough_new_rows_queue_a_run(site: TriggerSite) -> None:
    """Two rows do not, three do; the run says why, and the next one needs three more."""
    site.save(job())
    site.add(0.1, 0.2)
    await site.later()
    assert (site.runs(), site.rows()[0].value) == ([], 2.0)
    site.add(0.3)
    await site.later()
    (run,) = site.runs()
    assert (run.trigger, run.cause, run.scheduled_at) == ("data", "3 new rows in readings", site.now)
    site.end(upto=3)
    site.add(0.4, 0.5)
    await site.later()
    assert len(site.runs()) == 1
    site.add(0.6)
    await site.later()
    assert site.causes() == ["3 new rows in readings"] * 2


async def test_rows_that_were_there_before_the_trigger_are_new_to_a_job_that_never_ran(site: TriggerSite) -> None:
    """Saving the job fires nothing; its first look, after its own time, does."""
    site.add(0.1, 0.2, 0.3, 0.4)
    site.save(job())
    await site.later(9)
    assert site.runs() == []
    await site.later(1)
    assert site.causes() == ["4 new rows in readings"]


async def test_rows_during_a_run_wait_for_its_end(site: TriggerSite) -> None:
    """No run is queued beside a live one; what that one did not see counts afterwards."""
    site.add(0.1, 0.2, 0.3)
    site.save(job())
    await site.later()
    site.add(0.4, 0.5, 0.6, 0.7)
    await site.later()
    assert len(site.runs()) == 1
    site.end(upto=4)  # it selected when one of the four had come
    await site.later()
    assert site.causes() == ["3 new rows in readings"] * 2


async def test_any_run_counts_as_the_last_one(site: TriggerSite) -> None:
    """A run by hand saw its rows, too: by its frozen positions, or all there are if it does not read the collection."""
    site.save(job())
    site.add(0.1, 0.2)
    site.queue()
    site.end(upto=2)
    site.add(0.3, 0.4)
    await site.later()
    assert (site.causes(), site.rows()[0].value) == (["by hand"], 2.0)
    site.queue()
    site.end_elsewhere()
    await site.later()
    assert (site.causes(), site.rows()[0].value) == (["by hand"] * 2, 0.0)


async def test_a_run_that_saw_nothing_does_not_count(site: TriggerSite) -> None:
    """Cancelled before its rows were selected, a run by hand leaves them new."""
    site.save(job())
    site.add(0.1, 0.2)
    site.queue()
    site.cancel()
    site.add(0.3)
    await site.later()
    assert site.causes() == ["by hand", "3 new rows in readings"]


async def test_a_threshold_fires_at_its_crossing(site: TriggerSite) -> None:
    """Once when it is crossed, not while it stays so, again when it was back or has stayed so for long."""
    query = "SELECT avg(error) FROM (SELECT error FROM readings ORDER BY position DESC LIMIT 2) AS newest"
    trigger = {"query": query, "above": 0.3, "every": "10s", "again_after": "60s"}
    site.save(job(triggers=[trigger]))
    await site.later()
    assert (site.runs(), site.rows()[0].value) == ([], None)  # no row, no number
    site.add(0.5, 0.5)
    await site.later()
    assert [cause.partition(" gave ")[2] for cause in site.causes()] == ["0.5, above 0.3"]
    site.cancel()
    await site.later()
    assert len(site.runs()) == 1
    site.add(0.1, 0.1)
    await site.later()
    assert len(site.runs()) == 1
    site.add(0.7, 0.7)
    await site.later()
    assert len(site.runs()) == 2
    site.cancel()
    await site.later(50)
    assert len(site.runs()) == 2
    await site.later(10)
    assert len(site.runs()) == 3


async def test_a_query_that_fails_is_told_and_stops_nothing(site: TriggerSite) -> None:
    """What is wrong with one trigger is kept for people to see, and goes away when it is mended; others go on."""
    bad = {"query": "SELECT error, error FROM readings", "above": 1, "every": "10s"}
    site.save(job("bad", triggers=[bad]))
    site.save(job("gone", triggers=[{"new_rows": 1, "collection": "nowhere", "every": "10s"}]))
    site.save(job())
    site.add(0.1, 0.2, 0.3)
    await site.later()
    assert "a trigger needs one number" in site.rows("bad")[0].problem
    assert "nowhere" in site.rows("gone")[0].problem
    assert site.causes() == ["3 new rows in readings"]
    site.save(job("bad", triggers=[{**bad, "query": "SELECT max(error) FROM readings"}]))
    await site.later()
    assert [(row.problem, row.value) for row in site.rows("bad")] == [("", 0.3)]


async def test_a_slow_query_holds_up_no_other_job(site: TriggerSite) -> None:
    """While one trigger's query runs for ever, another job is fired."""
    site.add(0.1, 0.2, 0.3)
    site.save(job("slow", triggers=[{"query": ENDLESS, "above": 1, "every": "1s"}]))
    site.save(job(triggers=[{"new_rows": 3, "collection": "readings", "every": "2s"}]))
    site.now += timedelta(seconds=5)
    async with site.looking(timeout_s=10):
        await site.until(lambda: site.runs() != [])
        assert site.rows("slow")[0].problem == ""  # it is still at it
        await site.until(lambda: site.rows("slow")[0].problem != "")
    assert site.runs("slow") == []


async def test_a_pause_rests_triggers_and_an_edit_keeps_what_they_saw(site: TriggerSite) -> None:
    """A paused job is not looked at; resumed it is, after its own time; another amount goes on counting from there."""
    site.save(job())
    site.add(0.1, 0.2, 0.3)
    await site.later()
    site.end(upto=3)
    site.add(0.4, 0.5)
    site.save(job(paused=True))
    assert [row.next_look_at for row in site.rows()] == [None]
    await site.later(1000)
    site.save(job(triggers=[{"new_rows": 2, "collection": "readings", "every": "20s"}]))
    (row,) = site.rows()
    assert (row.position, row.next_look_at) == (3, site.now + timedelta(seconds=20))
    await site.later(20)
    assert site.causes() == ["3 new rows in readings", "2 new rows in readings"]


async def test_a_trigger_that_is_removed_leaves_nothing(site: TriggerSite) -> None:
    """Its row goes with it, and nothing is fired by it."""
    site.save(job())
    site.add(0.1, 0.2, 0.3)
    site.save(job(triggers=[]))
    assert site.rows() == []
    await site.later()
    assert site.runs() == []


async def test_a_crash_between_look_and_commit_neither_loses_nor_repeats(tmp_path: Path) -> None:
    """Wherever writing down a look breaks off, cursor and run are both there or neither is, and the job fires once."""
    for step in count(1):
        folder = tmp_path / str(step)
        folder.mkdir()
        site = TriggerSite(f"sqlite:///{folder / 'control.db'}", f"sqlite:///{folder / 'collections.db'}")
        site.save(job())
        site.add(0.1, 0.2, 0.3)
        site.now += timedelta(seconds=10)
        if not await dies(site, step):
            assert step > 8
            site.close()
            return
        assert (site.runs(), site.rows()[0].position) == ([], 0)
        await site.later(0)
        assert (site.causes(), site.rows()[0].position) == (["3 new rows in readings"], 3)
        await site.later()
        assert len(site.runs()) == 1
        site.close()


async def dies(site: TriggerSite, step: int) -> bool:
    """Let the loop die at that statement, or commit, of what it writes; False if it fires the job before."""
    left = step

    def die(connection: Connection, *_about: object) -> None:
        nonlocal left
        writes = not connection.get_execution_options().get("reads", False)
        left -= writes
        if writes and left == 0:
            raise ConnectionResetError("the power is gone")

    engine = site.database._engine
    event.listen(engine, "after_cursor_execute", die)
    event.listen(engine, "commit", die)
    async with site.looking() as serving:
        fired = asyncio.create_task(site.fired.wait())
        await asyncio.wait([serving, fired], timeout=60, return_when=asyncio.FIRST_COMPLETED)
        died = serving.done()
        assert died != fired.done()
        fired.cancel()
    event.remove(engine, "after_cursor_execute", die)
    event.remove(engine, "commit", die)
    return died
