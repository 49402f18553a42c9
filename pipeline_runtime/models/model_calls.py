"""What a model node does with its messages: one by one, or several in one call; in a thread if that takes long.

value ─▶ a row of numbers, model quick ──────────────────────▶ bound arrays ─▶ answer
  └────▶ feed ─▶ question ─┬─ quick ─▶ one call for what came together ─▶ answer
                           └─ slow ──▶ queue ─▶ one call in a thread for what waits ─▶ answer
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from pipeline_runtime.models.call_queue import CallQueue
from pipeline_runtime.models.call_times import CallTimes
from pipeline_runtime.models.model_answer import Answer
from pipeline_runtime.models.model_feed import Feed, ReadFeed
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.quick_rows import QuickRows
from pipeline_runtime.models.stacking import (
    Outputs,
    Question,
    answers_rows_apart,
    first_batch,
    question_of,
    stack,
    take_apart,
)
from pipeline_runtime.models.tensors import Array
from pipeline_runtime.node_type import BatchNode
from pipeline_runtime.running.run import Run

SLOW_S = 0.005  # a thread costs up to 0.4 ms; what takes longer than this would hold up everything else


class ModelCalls(BatchNode):
    """Asks a model. Messages are answered together only if the model answers each row apart."""

    def __init__(
        self, model: OnnxModel, read: ReadFeed, answer: Answer, *, max_rows: int = 32, quick: QuickRows | None = None
    ) -> None:
        """Blocks while the model is tried with several rows."""
        self._model, self._read, self._answer = model, read, answer
        self._times = CallTimes(model.usual_s)
        self._quick = quick if model.usual_s <= SLOW_S else None
        self._write = answer.writers[0]
        self._max_rows = max_rows
        self.together = max_rows > 1 and answers_rows_apart(model, answer.names)
        self._queue: CallQueue | None = None  # made when it is needed

    async def close(self) -> None:
        """Nobody waits for an answer any more."""
        if self._queue is not None:
            self._queue.close()
        self._queue = None  # the two know each other: the model is let go now, not when the collector comes round

    def resolve(self, value: object, _run: Run, /) -> object | Awaitable[object]:
        """The model's answer; one that takes long comes from a thread."""
        quick = self._quick
        if quick is not None and quick.put(value):
            try:
                quick.ask_one()
            except Exception:  # noqa: BLE001, S110 - asked again below, where what is wrong is told
                pass
            else:
                return self._write(quick.answer)
        question = question_of(self._read(value))
        if self._times.of(question.rows) > SLOW_S:
            return self._from_thread(question)
        return self._ask(question)

    def resolve_many(self, values: Sequence[object], runs: Sequence[Run], /) -> Sequence[object]:
        """As many answers, of as few calls as there can be; what is wrong with one message spoils no other."""
        if not self.together:
            return [_or_error(self.resolve, value, run) for value, run in zip(values, runs, strict=True)]
        if (quickly := self._quick_answers(values)) is not None:
            return quickly
        results: list[object] = [None] * len(values)
        questions: dict[int, Question] = {}  # by the message's place
        for place, value in enumerate(values):
            try:
                questions[place] = question_of(self._read(value))
            except Exception as error:  # noqa: BLE001 - whatever it is, it costs this message alone
                results[place] = error
        slow = self._times.of(sum(question.rows for question in questions.values())) > SLOW_S
        asked = list(questions.values())
        answers = [self._from_thread(question) for question in asked] if slow else self._answer_now(asked)
        for place, answer in zip(questions, answers, strict=True):
            results[place] = answer
        return results

    def _quick_answers(self, values: Sequence[object]) -> list[object] | None:
        """What all are answered with, if each is one row of numbers, and none is wrong."""
        quick, most = self._quick, self._max_rows
        if quick is None or self._times.of(len(values)) > SLOW_S:  # too long, all together, for anything but a thread
            return None
        batches = [quick.packed(values[first : first + most]) for first in range(0, len(values), most)]
        answers: list[object] = []
        try:
            for rows in batches:
                if rows is None:
                    return None
                answers += self._answer.write_rows(self._ask_many(quick, rows))
        except Exception:  # noqa: BLE001 - asked again one by one, where what is wrong is told
            return None
        return answers if len(answers) == len(values) else None

    def _ask_many(self, quick: QuickRows, rows: Array) -> Array:
        began_s = time.perf_counter()
        answer = quick.ask_many(rows)
        self._times.took(len(rows), time.perf_counter() - began_s)
        return answer

    def _from_thread(self, question: Question) -> Awaitable[object]:
        if not self.together:
            return asyncio.to_thread(self._ask, question)
        if self._queue is None:
            self._queue = CallQueue(self._ask_together, self._max_rows)
        return self._queue.ask(question)

    def _answer_now(self, questions: Sequence[Question]) -> list[object]:
        """The answers to these, or what is wrong with them. Blocks."""
        answers: list[object] = [None] * len(questions)
        left = list(range(len(questions)))
        while left:
            batch = [left[place] for place in first_batch([questions[place] for place in left], self._max_rows)]
            for place, answer in zip(batch, self._ask_together([questions[place] for place in batch]), strict=True):
                answers[place] = answer
            taken = set(batch)
            left = [place for place in left if place not in taken]
        return answers

    def _ask_together(self, questions: Sequence[Question]) -> list[object]:
        """One call for all; if it fails, each is asked alone. Blocks."""
        if len(questions) > 1:
            try:
                parts = take_apart(self._timed(stack(questions), sum(one.rows for one in questions)), questions)
            except Exception:  # noqa: BLE001, S110 - one of them is the cause, or they do not go together
                pass
            else:
                return [_or_error(self._answer.write, part) for part in parts]
        return [_or_error(self._ask, question) for question in questions]

    def _ask(self, question: Question) -> object:
        return self._answer.write(self._timed(question.feed, question.rows))

    def _timed(self, feed: Feed, rows: int) -> Outputs:
        began_s = time.perf_counter()
        outputs = self._model.ask(feed, self._answer.names)
        self._times.took(rows, time.perf_counter() - began_s)
        return outputs


def _or_error(work: Callable[..., object], *given: object) -> object:
    """What it gives, or what it raises of itself."""
    try:
        return work(*given)
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs this message alone
        return error
