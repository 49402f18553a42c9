"""Asks a slow model in a thread: what comes while it answers is put together for the next call."""

import asyncio
from collections.abc import Callable, Sequence

from pipeline_runtime.models.stacking import Question, first_batch

AnswerTogether = Callable[[Sequence[Question]], Sequence[object]]
"""Blocks; for each question its answer, or the exception that it is answered with."""


class CallQueue:
    """One call at a time. Nothing waits for others to come: a call takes what is there."""

    def __init__(self, answer: AnswerTogether, max_rows: int) -> None:
        self._answer, self._max_rows = answer, max_rows
        self._waiting: list[tuple[Question, asyncio.Future[object]]] = []
        self._working: asyncio.Task[None] | None = None

    def ask(self, question: Question) -> "asyncio.Future[object]":
        """The answer, once it is there."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work(), name="model calls")
        return future

    def close(self) -> None:
        """Begin no more calls; whoever still waits is told that it is cancelled."""
        if self._working is not None:
            self._working.cancel()
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def _work(self) -> None:
        try:
            while batch := self._next():
                await self._call(batch)
        finally:
            self._working = None

    async def _call(self, batch: "list[tuple[Question, asyncio.Future[object]]]") -> None:
        questions = [question for question, _ in batch]
        try:
            answers = await asyncio.to_thread(self._answer, questions)
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs these messages and not the worker
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue  # its run has ended
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _next(self) -> "list[tuple[Question, asyncio.Future[object]]]":
        """The oldest question that somebody still waits for, and those that go with it; the others keep their place."""
        waiting = [one for one in self._waiting if not one[1].done()]
        places = set(first_batch([question for question, _ in waiting], self._max_rows))
        self._waiting = [one for place, one in enumerate(waiting) if place not in places]
        return [one for place, one in enumerate(waiting) if place in places]
