"""What a model node does with its messages: one by one, or several in one call; in a thread if that takes long.

value ─▶ a row of numbers, model quick ──────────────────────▶ bound arrays ─▶ answer
  └────▶ feed ─▶ question ─┬─ quick ─▶ one call for what came together ─▶ answer
                           └─ slow ──▶ queue ─▶ one call in a thread for what waits ─▶ answer
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from pipeline_runtime.models.call_queue import CallQueue
from pipeline_runtime.models.model_answer import Answer
from pipeline_runtime.models.model_feed import ReadFeed
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.quick_rows import QuickRows
from pipeline_runtime.models.stacking import Question, answers_rows_apart, first_batch, question_of, stack, take_apart
from pipeline_runtime.node_type import BatchNode
from pipeline_runtime.running.run import Run

SLOW_S = 0.002  # a thread costs about 0.1 ms; an answer that takes longer than this would hold up everything else


class ModelCalls(BatchNode):
    """Asks a model. Messages are answered together only if the model answers each row apart."""

    def __init__(
        self, model: OnnxModel, read: ReadFeed, answer: Answer, *, max_rows: int = 32, quick: QuickRows | None = None
    ) -> None:
        """Blocks while the model is tried with several rows."""
        self._model, self._read, self._answer = model, read, answer
        self._row_s = self._last_s = model.usual_s  # how long an answer for one row takes; and the last one took
        self._quick = quick if self._row_s <= SLOW_S else None
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
        if question.rows * self._row_s > SLOW_S:
            return self._from_thread(question)
        return self._ask(question)

    def resolve_many(self, values: Sequence[object], runs: Sequence[Run], /) -> Sequence[object]:
        """As many answers, of as few calls as there can be; what is wrong with one message spoils no other."""
        if not self.together:
            return [_or_error(self.resolve, value, run) for value, run in zip(values, runs, strict=True)]
        results: list[object] = [None] * len(values)
        questions: dict[int, Question] = {}  # by the message's place
        for place in self._resolve_quickly(values, results):
            try:
                questions[place] = question_of(self._read(values[place]))
            except Exception as error:  # noqa: BLE001 - whatever it is, it costs this message alone
                results[place] = error
        slow = sum(question.rows for question in questions.values()) * self._row_s > SLOW_S
        asked = list(questions.values())
        answers = [self._from_thread(question) for question in asked] if slow else self._answer_now(asked)
        for place, answer in zip(questions, answers, strict=True):
            results[place] = answer
        return results

    def _resolve_quickly(self, values: Sequence[object], results: list[object]) -> list[int]:
        """Answer the messages that are one row of numbers; the places of the others are returned."""
        quick = self._quick
        if quick is None or len(values) * self._row_s > SLOW_S:  # too long, all together, for anything but a thread
            return list(range(len(values)))
        packed = quick.packed(values)
        places = list(packed)
        rest = [place for place in range(len(values)) if place not in packed] if len(places) < len(values) else []
        for first in range(0, len(places), self._max_rows):
            some = places[first : first + self._max_rows]
            try:
                answers = self._answer.write_rows(quick.ask_many([packed[place] for place in some]))
            except Exception:  # noqa: BLE001
                rest += some  # of one of them; each is asked alone
                continue
            for place, answer in zip(some, answers, strict=True):
                results[place] = answer
        return rest

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
                parts = take_apart(self._model.ask(stack(questions), self._answer.names), questions)
            except Exception:  # noqa: BLE001, S110 - one of them is the cause, or they do not go together
                pass
            else:
                return [_or_error(self._answer.write, part) for part in parts]
        return [_or_error(self._ask, question) for question in questions]

    def _ask(self, question: Question) -> object:
        began = time.perf_counter()
        outputs = self._model.ask(question.feed, self._answer.names)
        last_s = (time.perf_counter() - began) / max(question.rows, 1)
        row_s, self._last_s = min(last_s, self._last_s), last_s  # one alone may have been held up by something else
        if row_s > self._row_s:
            self._row_s = row_s
        elif question.rows == 1:  # rows in a batch take less each than one alone: they say nothing of that
            self._row_s += (row_s - self._row_s) / 4
        return self._answer.write(outputs)


def _or_error(work: Callable[..., object], *given: object) -> object:
    """What it gives, or what it raises of itself."""
    try:
        return work(*given)
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs this message alone
        return error
