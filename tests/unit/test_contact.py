"""For how long an edge has been without its controller."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.contact import Contact

LONG_S = 3600.0


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where it is noted since when there is no contact."""
    return tmp_path / "cut_off_since"


async def test_contact_ends_when_the_controller_is_said_to_be_gone(mark: Path) -> None:
    """While the controller is there nobody is cut off; from then on the time counts."""
    contact = Contact(mark)
    contact.heard(online=True)
    waiting = asyncio.create_task(contact.gone_for(0.01))
    await asyncio.sleep(0)
    assert not waiting.done()
    contact.heard(online=False)
    async with asyncio.timeout(20):
        await waiting


async def test_time_without_contact_goes_on_after_a_restart(mark: Path) -> None:
    """An agent that is started again while it is cut off does not count from nothing."""
    mark.write_text((datetime.now(UTC) - timedelta(seconds=2 * LONG_S)).isoformat())
    async with asyncio.timeout(20):
        await Contact(mark).gone_for(LONG_S)


async def test_contact_begins_anew(mark: Path) -> None:
    """Once the controller was heard, what was before counts no more, for a later agent neither."""
    mark.write_text((datetime.now(UTC) - timedelta(seconds=2 * LONG_S)).isoformat())
    contact = Contact(mark)
    waiting = asyncio.create_task(contact.gone_for(3 * LONG_S))
    await asyncio.sleep(0)
    contact.heard(online=True)
    assert not mark.exists()
    contact.heard(online=False)
    assert mark.exists()
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00", "2999-01-01T00:00:00+00:00"])
async def test_a_mark_that_makes_no_sense_counts_from_now(mark: Path, text: str) -> None:
    """Half a file after a crash, or a clock that was wrong, ends no task."""
    mark.write_text(text)
    waiting = asyncio.create_task(Contact(mark).gone_for(LONG_S))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
