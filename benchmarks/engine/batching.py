"""How many rows a second the model node answers when messages wait, against a bare loop with batches of the same sizes.

The bare loop makes one array of the same values, asks ONNX Runtime and turns its answer into lists: what anybody would
write who had the messages in batches already. Both in turns. And what a message that comes alone waits longer than for
ONNX Runtime itself.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.engine import networks, transformer
from benchmarks.engine.work import FEATURES
from benchmarks.figures import Figure
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.node_type import BatchNode, Fittings
from pipeline_runtime.nodes.model import NODE, Params

WAITING = 64  # messages, as many as a pipeline has in flight
GOAL = 0.85
_RUN: Any = None  # a model does not look at it
_RANDOM = np.random.default_rng(0)


class _Watched(OnnxModel):
    """Notes how many rows each call had."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.sizes: list[int] = []

    def ask(self, feed: Mapping[str, object], outputs: Sequence[str]) -> list[Any]:
        answer = super().ask(feed, outputs)
        self.sizes.append(len(answer[0]))
        return answer


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of model, and the messages that it is asked."""

    make: Callable[[Path], Path]
    value: Callable[[], Any]
    bursts: int  # of messages in one round: about half a second
    features: tuple[str, ...] | None = None
    dtype: type[np.generic] = np.float32


def _reading() -> dict[str, float]:
    return dict(zip(FEATURES, _RANDOM.normal(size=len(FEATURES)).tolist(), strict=True))


def _window() -> list[list[list[float]]]:
    window: list[list[list[float]]] = _RANDOM.normal(size=(1, networks.CHANNELS, networks.STEPS)).tolist()
    return window


def _tokens() -> list[list[int]]:
    tokens: list[list[int]] = _RANDOM.integers(0, transformer.WORDS, (1, transformer.TOKENS)).tolist()
    return tokens


CASES = {
    "MLP": Case(networks.scorer, _reading, 4000, FEATURES),
    "forest": Case(networks.forest, _reading, 2000, FEATURES),
    "1-D CNN": Case(networks.convolution, _window, 500),
    "MiniLM, 8 tokens": Case(transformer.transformer, _tokens, 4, dtype=np.int64),
}


@dataclass(slots=True)
class Found:
    """What was measured of one case, a value for each round."""

    ours: list[float] = field(default_factory=list)  # rows a second
    bare: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # of batches
    later_us: list[float] = field(default_factory=list)  # than the bare session, one alone


def measure(rounds: int) -> list[Figure]:
    """All kinds of models."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as folder:
        for name, case in CASES.items():
            found = asyncio.run(_measure(case, Path(folder) / "model.onnx", rounds))
            shares = tuple(ours / bare for ours, bare in zip(found.ours, found.bare, strict=True))
            figures += [
                Figure(f"{name}: rows/s", tuple(found.ours), "1/s"),
                Figure(f"{name}: rows in a call", (statistics.median(found.sizes),), "rows"),
                Figure(f"{name}: of the bare loop's rows/s, at least", shares, "×", GOAL),
                Figure(f"{name}: later than bare when alone", tuple(found.later_us), "µs"),
            ]
    return figures


async def _measure(case: Case, path: Path, rounds: int) -> Found:
    model = _Watched(case.make(path))
    model.warm()
    params = Params(model="m", features=case.features)
    node = NODE.make(params, Fittings("predict", {"m": model}, {}, inputs=("in",)))
    assert isinstance(node, BatchNode)
    session = ort.InferenceSession(str(path), _one_thread(), providers=["CPUExecutionProvider"])
    values = [case.value() for _ in range(WAITING)]
    found = Found()
    for number in range(rounds + 1):
        model.sizes.clear()
        ours = await _rows_per_s(node, values, case.bursts)
        sizes = list(model.sizes)
        bare = _bare_rows_per_s(case, session, values, sizes)
        some = values * max(1, case.bursts // 20)
        alone_us = await _alone_us(node, some) - _bare_alone_us(case, session, some)
        if number > 0:  # the first is to get warm
            found.ours.append(ours)
            found.bare.append(bare)
            found.sizes += sizes
            found.later_us.append(alone_us)
    await node.close()
    return found


def _one_thread() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


async def _rows_per_s(node: BatchNode, values: Sequence[Any], bursts: int) -> float:
    began_s = perf_counter()
    for _ in range(bursts):
        for result in node.resolve_many(values, [_RUN] * len(values)):
            if type(result) is not list:  # as answers are; to look closer would be a good part of what is measured
                assert isinstance(result, Awaitable), result
                await result
    return bursts * len(values) / (perf_counter() - began_s)


def _bare(case: Case, session: ort.InferenceSession, values: Sequence[Any]) -> object:
    if case.features is None:
        rows = [value[0] for value in values]
    else:
        rows = [[value[name] for name in case.features] for value in values]
    return session.run(["scores"], {"features": np.array(rows, case.dtype)})[0].tolist()


def _bare_rows_per_s(case: Case, session: ort.InferenceSession, values: Sequence[Any], sizes: Sequence[int]) -> float:
    batches = [values[:size] for size in sizes]
    began_s = perf_counter()
    for batch in batches:
        _bare(case, session, batch)
    return sum(sizes) / (perf_counter() - began_s)


async def _alone_us(node: BatchNode, values: Sequence[Any]) -> float:
    began_s = perf_counter()
    for value in values:
        result = node.resolve(value, _RUN)
        if isinstance(result, Awaitable):
            await result
    return (perf_counter() - began_s) / len(values) * 1e6


def _bare_alone_us(case: Case, session: ort.InferenceSession, values: Sequence[Any]) -> float:
    began_s = perf_counter()
    for value in values:
        _bare(case, session, [value])
    return (perf_counter() - began_s) / len(values) * 1e6
