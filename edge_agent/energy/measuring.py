"""Measures what tasks take, beside them: nothing here can delay one or make it fail."""

import asyncio
import json
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from edge_agent.energy.shares import Energy, Shares
from edge_agent.execution.executor import TaskKey

log = logging.getLogger(__name__)

START_S = 60.0  # for the meter's first answer: what it imports is large
ANSWER_S = 5.0
LAST_ANSWER_S = 1.0  # for how long the end of a task waits for its energy


class EnergyMeasuring:
    """One meter for all tasks, which runs while any of them is measured.

    Args:
        country: three letters, as ISO 3166 has them: how much CO2e its electricity stands for. None: nothing is
            measured.
    """

    def __init__(self, country: str | None) -> None:
        self._country = country
        self._meter: Process | None = None
        self._shares = Shares()
        self._turn = asyncio.Lock()
        self._working: set[asyncio.Task[Energy | None]] = set()

    def begin(self, key: TaskKey) -> None:
        """A task's scripts start; returns at once."""
        if self._country is not None:
            self._start(self._begin(key))

    def end(self, key: TaskKey) -> "asyncio.Task[Energy | None]":
        """A task's scripts have ended; what they took is known later, see ``told``."""
        return self._start(self._end(key))

    async def told(self, ending: "asyncio.Task[Energy | None]") -> Energy | None:
        """What came of ``end``, if it is known soon."""
        await asyncio.wait({ending}, timeout=LAST_ANSWER_S)
        return ending.result() if ending.done() and not ending.cancelled() else None

    async def close(self) -> None:
        """Measure nothing more."""
        for work in self._working:
            work.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        await self._stop()

    def _start(self, work: "Coroutine[Any, Any, Energy | None]") -> "asyncio.Task[Energy | None]":
        task = asyncio.create_task(self._safely(work), name="energy")
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    async def _safely(self, work: "Coroutine[Any, Any, Energy | None]") -> Energy | None:
        async with self._turn:
            try:
                return await work
            except (OSError, ValueError, KeyError, TimeoutError) as error:
                log.warning("energy could not be measured", extra={"reason": f"{type(error).__name__}: {error}"})
                await self._stop()
                return None

    async def _begin(self, key: TaskKey) -> None:
        if self._meter is None:
            command = (sys.executable, "-m", "edge_agent.energy.meter", str(self._country))
            self._meter = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
            self._shares = Shares()
            await self._read(START_S)
        self._shares.begin(key, await self._read(ANSWER_S))

    async def _end(self, key: TaskKey) -> Energy | None:
        if self._meter is None:
            return None
        taken = self._shares.end(key, await self._read(ANSWER_S))
        if not self._shares.anybody:
            await self._stop()
        return taken

    async def _read(self, timeout_s: float) -> Energy:
        assert self._meter is not None  # noqa: S101 - whoever calls has started it
        assert self._meter.stdin is not None  # noqa: S101
        assert self._meter.stdout is not None  # noqa: S101
        async with asyncio.timeout(timeout_s):
            self._meter.stdin.write(b"\n")
            await self._meter.stdin.drain()
            answer = json.loads(await self._meter.stdout.readline())
        return Energy(float(answer["energy_kwh"]), float(answer["co2e_kg"]))

    async def _stop(self) -> None:
        meter, self._meter = self._meter, None
        if meter is not None:
            with suppress(ProcessLookupError):
                meter.kill()
            await meter.wait()
