"""Takes several messages of one lane through a pipeline side by side, so that a node can answer them at once.

    node, node, node │ model, for all of them │ node, node …

Only what is there already goes together: nothing waits for others to come.
"""

from collections.abc import Sequence
from time import perf_counter_ns

from pipeline_runtime.node_type import SKIPPED, BatchNode
from pipeline_runtime.running.lane import Lane, LaneStep
from pipeline_runtime.running.run import Run


def walk_together(lane: Lane, runs: Sequence[Run]) -> None:
    """Take runs of a lane by all of its steps, as far as each can go without waiting."""
    for stretch in lane.stretches if len(runs) > 1 else lane.whole:
        for run in runs:
            if run.failure is None and not run.over:
                run.walk(stretch.alone)
            if stretch.together is None:
                run.walked()
        if stretch.together is not None and stretch.together.batches is not None:
            _resolve(stretch.together, stretch.together.batches, runs)


def _resolve(step: LaneStep, node: BatchNode, runs: Sequence[Run]) -> None:
    ready = [(run, value) for run in runs if (value := run.take(step)) is not SKIPPED]
    if not ready:
        return
    together = [run for run, _ in ready]
    began_ns = perf_counter_ns()
    try:
        results = node.resolve_many([value for _, value in ready], together)
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs these messages and not the worker
        results = [error] * len(ready)
    for run, result in zip(together, results, strict=True):
        run.accept(step, result, began_ns)
