"""Making wanted things ready one beside the other, and trying again what failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from edge_agent.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S
from schemas.errors import BadPayload, TidemillError, Unfit
from schemas.report import ModelState

log = logging.getLogger(__name__)

Note = Callable[[str], None]
"""Takes what is being waited for, in words."""

Wanted = TypeVar("Wanted")
Ready = TypeVar("Ready")


@dataclass(slots=True)
class Entry(Generic[Wanted, Ready]):
    """How far one wanted thing is."""

    wanted: Wanted
    state: ModelState = ModelState.FETCHING
    reason: str = ""
    ready: Ready | None = None
    failed: bool = False  # at least once; it is tried again
    unfit: bool = False  # trying again will hardly help: it is not to be read, or does not do


class WantedSet(Generic[Wanted, Ready]):
    """Calls ``make`` for each wanted thing, in an asyncio task inside ``group``, until it has succeeded.

    ``on_change`` is called whenever an entry has changed.
    """

    def __init__(
        self,
        make: Callable[[Wanted, Note], Awaitable[Ready]],
        group: asyncio.TaskGroup,
        on_change: Callable[[], None],
    ) -> None:
        self._make, self._group, self._on_change = make, group, on_change
        self._entries: dict[str, Entry[Wanted, Ready]] = {}
        self._work: dict[str, asyncio.Task[None]] = {}

    @property
    def entries(self) -> Mapping[str, Entry[Wanted, Ready]]:
        """Everything wanted, by name."""
        return self._entries

    def apply(self, wanted: Mapping[str, Wanted]) -> None:
        """Want exactly these from now on; what is wanted as before goes on undisturbed."""
        for name in [name for name, entry in self._entries.items() if entry.wanted != wanted.get(name)]:
            self._work.pop(name).cancel()
            del self._entries[name]
        for name, what in wanted.items():
            if name not in self._entries:
                entry = self._entries[name] = Entry(what)
                self._work[name] = self._group.create_task(self._until_ready(entry), name=f"fetch {name}")

    async def _until_ready(self, entry: Entry[Wanted, Ready]) -> None:
        pause_s = FIRST_PAUSE_S

        def note(reason: str) -> None:
            self._move(entry, ModelState.FETCHING, reason)

        while True:
            try:
                entry.ready = await self._make(entry.wanted, note)
            except (TidemillError, OSError) as error:
                log.warning("not made ready", extra={"reason": str(error)})
                entry.failed, entry.unfit = True, isinstance(error, Unfit | BadPayload)
                self._move(entry, ModelState.FAILED, str(error))
            else:
                self._move(entry, ModelState.READY, "")
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _move(self, entry: Entry[Wanted, Ready], state: ModelState, reason: str) -> None:
        if (entry.state, entry.reason) != (state, reason):
            entry.state, entry.reason = state, reason
            self._on_change()
