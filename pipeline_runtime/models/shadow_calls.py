"""What a shadow node does with each message: asks its model, compares, and counts; its troubles stay its own."""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence

from pipeline_runtime.models.agreement import Agreement, agree
from pipeline_runtime.models.model_fitting import model_calls
from pipeline_runtime.node_type import SKIPPED, BatchNode, Fittings
from pipeline_runtime.nodes.shadow import Params
from pipeline_runtime.running.run import Run
from schemas.errors import BadInput


class ShadowCalls(BatchNode):
    """Compares. Its result says how the answers compare, or why there is none; SKIPPED when it did not ask."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        """Raises BadInput when the model does not fit, or there is no such input to compare with."""
        self.counters = Agreement()
        self._against, self._tolerance, self._at_once = params.against, params.tolerance, params.at_once
        self._waits = params.wait
        self._later: set[asyncio.Task[object]] = set()  # comparisons that no message waits for
        others = tuple(ref for ref in fittings.inputs if ref != params.against)
        if len(others) != len(fittings.inputs) - 1 or not others:
            raise BadInput(f"`against`: {params.against!r} must be one of its inputs, and what it is asked another")
        self._others = others
        self._calls = model_calls(params, fittings, others)
        self._waiting = 0

    def notes(self) -> Mapping[str, float]:
        """How often the two agreed, and how long this one takes."""
        counters = self.counters
        counts = {"agreed": counters.agreed, "disagreed": counters.disagreed}
        return {**counts, "failed": counters.failed, "missed": counters.missed, "mean_s": counters.mean_s}

    async def close(self) -> None:
        """Nobody waits for an answer any more."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self._calls.close()

    def resolve(self, value: object, run: Run, /) -> object | Awaitable[object]:
        """How the two answers compare."""
        return self.resolve_many([value], [run])[0]

    def resolve_many(self, values: Sequence[object], runs: Sequence[Run], /) -> Sequence[object]:
        """How the two answers to each message compare."""
        results: list[object] = [SKIPPED] * len(values)
        asked = [
            (place, value) for place, value in enumerate(values) if isinstance(value, Mapping) and self._asks(value)
        ]
        began = time.perf_counter()
        answers = self._ask([self._question(value) for _, value in asked], [runs[place] for place, _ in asked])
        each_s = (time.perf_counter() - began) / max(len(asked), 1)
        for (place, value), answer in zip(asked, answers, strict=True):
            served = value[self._against]
            if isinstance(answer, Awaitable):
                results[place] = self._wait_if_there_is_room(answer, served, began)
            else:
                results[place] = self._compared(served, answer, each_s)
        return results

    def _asks(self, value: Mapping[str, object]) -> bool:
        """Whether there are a question and an answer to compare with: other nodes may have been skipped."""
        return self._against in value and any(ref in value for ref in self._others)

    def _question(self, value: Mapping[str, object]) -> object:
        if len(self._others) == 1:
            return value[self._others[0]]
        return {ref: value[ref] for ref in self._others if ref in value}

    def _ask(self, questions: Sequence[object], runs: Sequence[Run]) -> Sequence[object]:
        try:
            if len(questions) == 1:
                return [self._calls.resolve(questions[0], runs[0])]
            return self._calls.resolve_many(questions, runs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the message
            return [error] * len(questions)

    def _wait_if_there_is_room(self, answer: Awaitable[object], served: object, began: float) -> object:
        future = asyncio.ensure_future(answer)
        if self._waiting >= self._at_once:
            future.cancel()
            self.counters.missed += 1
            return SKIPPED
        self._waiting += 1
        future.add_done_callback(self._no_longer_waits)
        if self._waits:
            return self._wait(future, served, began)
        task = asyncio.get_running_loop().create_task(self._wait(future, served, began), name="compare with a shadow")
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return SKIPPED

    def _no_longer_waits(self, future: "asyncio.Future[object]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # seen, though the run may have ended

    async def _wait(self, answer: "asyncio.Future[object]", served: object, began: float) -> object:
        try:
            result = await answer
        except Exception as error:  # noqa: BLE001 - as above
            result = error
        return self._compared(served, result, time.perf_counter() - began)

    def _compared(self, served: object, answer: object, took_s: float) -> object:
        if isinstance(answer, Exception):
            self.counters.failed += 1
            return {"agree": None, "served": served, "error": str(answer) or type(answer).__name__}
        same = agree(served, answer, self._tolerance)
        self.counters.compared(took_s, agree=same)
        return {"agree": same, "served": served, "shadow": answer, "took_s": took_s}
