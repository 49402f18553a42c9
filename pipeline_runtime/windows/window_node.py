"""The window node at work: reads rows, keeps them, and hands on what windows have when they are over.

A message's run gets the first window that it closes as its result; the other windows, and those that the clock closes,
begin runs of their own behind the node. Every result lies on disk until its run has ended.
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from math import inf

import orjson

from pipeline_runtime.node_type import SKIPPED, BatchNode, Fittings
from pipeline_runtime.nodes.window import Params
from pipeline_runtime.running.run import Run
from pipeline_runtime.windows.window_rows import WindowRows
from pipeline_runtime.windows.window_store import Kept, Row, WindowStore
from pipeline_runtime.windows.windows import NEVER, Closed, CountWindows, TimeWindows, Windows
from schemas.errors import BadPayload

log = logging.getLogger(__name__)

RETRY_S = 0.25  # for results that nobody took: a pipeline that is not in use yet begins no runs
_LONGEST_S = 3600.0  # between two looks at the clock

Result = tuple[int, object]
"""Its number, and what is handed on."""


class WindowNode(BatchNode):
    """Gathers rows in windows."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._params, self._fittings = params, fittings
        self._rows = WindowRows(params)
        self._windows = self._empty()
        self._by_clock = params.count is None and params.time is None
        self._store: WindowStore | None = None
        self._results = 0  # how many there were
        self._waiting: deque[Result] = deque()  # for a run behind the node
        self._delivered: list[int] = []  # but perhaps still on disk
        self._unkept: set[Run] = set()  # whose rows are in the windows, and not on disk
        self._last_row_s = 0.0  # on the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def _empty(self) -> Windows:
        params = self._params
        if params.count is not None:
            return CountWindows(params.grid, self._rows.aggregates)
        return TimeWindows(params.grid, self._rows.aggregates, round((params.late or 0.0) * 1e6))

    async def open(self) -> None:
        """Find again what the node had when its process ended."""
        if self._fittings.state is not None:
            self._store = WindowStore(self._fittings.state)
            self._windows = self._empty()
            self._take_up(self._store.restore(self._windows, self._make()))
        self._last_row_s = asyncio.get_running_loop().time()
        self._arm()

    async def close(self) -> None:
        """Leave everything on disk."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._store is not None:
            self._save((), ())
            self._store.close()
            self._store = None

    def _make(self) -> str:
        """What must not change, or the panes on disk mean something else."""
        params = self._params
        values = [value.model_dump() for value in params.values.values()]
        return orjson.dumps([params.size, params.count, params.every, params.time, params.by, values]).decode()

    def _take_up(self, kept: Kept) -> None:
        if kept.dropped:
            log.warning("windows were made otherwise: rows dropped", extra={"rows": kept.dropped})
        self._results = max((number for number, _ in kept.results), default=0)
        self._waiting = deque(kept.results)
        self._delivered = []
        closed = [window for row in kept.journal for window in self._windows.add(*row)]
        self._waiting += self._as_results(closed)

    def resolve(self, value: object, run: Run, /) -> object:
        """As for many."""
        (result,) = self.resolve_many([value], [run])
        if isinstance(result, Exception):
            raise result
        return result

    def resolve_many(self, values: Sequence[object], runs: Sequence[Run], /) -> Sequence[object]:
        """Add the rows, keep them on disk; a window that closes is the result."""
        now = time.time_ns() // 1000
        rows: list[Row] = []
        told: list[object] = []  # for each message an error, or the results of windows
        for value, run in zip(values, runs, strict=True):
            if run in self._unkept:  # it is asked again, as `on_error` says: its row is in the windows already
                told.append([])
                continue
            try:
                row = self._row(value, run, now)
                closed = self._windows.add(*row)
            except BadPayload as error:
                told.append(error)
                continue
            rows.append(row)
            told.append(self._as_results(closed))
        self._last_row_s = asyncio.get_running_loop().time()
        try:
            self._save(rows, [result for results in told if isinstance(results, list) for result in results])
        except sqlite3.Error as error:
            failure = BadPayload(f"what is in the windows cannot be kept: {error}")
            told = [self._instead(results, run, failure) for results, run in zip(told, runs, strict=True)]
        else:
            self._unkept.difference_update(runs)
        answers = [self._answer(results, run) for results, run in zip(told, runs, strict=True)]
        self._emit()
        self._arm()
        return answers

    def _row(self, value: object, run: Run, now: int) -> Row:
        key, at, values = self._rows.read(value, run, now)
        return key, max(at, self._windows.watermark) if self._by_clock else at, values  # clocks may be set back

    def _as_results(self, closed: Sequence[Closed]) -> list[Result]:
        results: list[Result] = []
        for window in closed:
            self._results += 1
            results.append((self._results, self._rows.result(window, self._windows.late)))
            self._windows.late = 0
        return results

    def _instead(self, results: object, run: Run, failure: BadPayload) -> object:
        """What becomes of a message whose row is not on disk: it fails; the windows that it closed do not."""
        if isinstance(results, list):
            self._waiting += results
            self._unkept.add(run)
            run.when_settled(partial(self._unkept.discard, run))
            return failure
        return results

    def _answer(self, results: object, run: Run) -> object:
        if not isinstance(results, list):
            return results
        if not results:
            return SKIPPED
        (number, result), *others = results
        self._waiting += others
        run.when_settled(partial(self._delivered.append, number))
        return result

    def _save(self, rows: Sequence[Row], results: Sequence[Result]) -> None:
        if self._store is not None and (rows or results or self._delivered):
            self._store.write(self._windows, rows, results, self._delivered)
        self._delivered.clear()

    def _emit(self) -> None:
        """Hand on what waits, as far as it is taken."""
        while self._waiting:
            number, result = self._waiting[0]
            if not self._fittings.emit(result, partial(self._delivered.append, number)):
                return
            self._waiting.popleft()

    def _arm(self) -> None:
        """Look at the clock again when something may be due, and not sooner."""
        loop = asyncio.get_running_loop()
        due_s = self._due_s(loop.time())
        if self._timer is not None:
            if self._timer.when() <= due_s:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due_s, self._tick) if due_s < inf else None

    def _due_s(self, now_s: float) -> float:
        due_s = now_s + RETRY_S if self._waiting else inf
        if self._by_clock and self._windows.next_end < NEVER:
            left_s = (self._windows.next_end - time.time_ns() // 1000) / 1e6
            due_s = min(due_s, now_s + min(max(left_s, 0.001), _LONGEST_S))
        if self._params.idle is not None and self._windows.panes.count:
            due_s = min(due_s, self._last_row_s + self._params.idle)
        return due_s

    def _tick(self) -> None:
        self._timer = None
        closed: list[Closed] = []
        if self._by_clock:
            closed += self._windows.advance(time.time_ns() // 1000)
        idle_s = self._params.idle
        if idle_s is not None and asyncio.get_running_loop().time() >= self._last_row_s + idle_s:
            closed += self._windows.flush()
        results = self._as_results(closed)
        try:
            self._save((), results)
        except sqlite3.Error:
            log.exception("closed windows cannot be kept", extra={"node": self._fittings.node})
        self._waiting += results
        self._emit()
        self._arm()
