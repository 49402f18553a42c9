"""What a worker makes of its orders, and of its engine's figures: between the protocol's words and the runtime's."""

from collections.abc import Mapping
from pathlib import Path

from edge_agent.worker.worker_protocol import Load
from pipeline_runtime.compiling.shadows import with_shadows
from pipeline_runtime.running.loaded import Loaded
from schemas.names import ModelRef
from schemas.pipelines import PipelineSpec
from schemas.report import SinceSwap
from transport.mqtt import MAX_PAYLOAD_BYTES


def shadowed(order: Load) -> tuple[PipelineSpec, Mapping[ModelRef, Path], frozenset[str]]:
    """The order's pipeline with its shadows, the models of both, and the ids of the shadows."""
    spec = with_shadows(order.spec, {ref: shadow.ref for ref, shadow in order.shadows.items()})
    models = {ref: model.path for ref, model in order.models.items()}
    models |= {shadow.ref: shadow.path for shadow in order.shadows.values()}
    ids = {node.id for node in spec.nodes}.difference(node.id for node in order.spec.nodes)
    return spec, models, frozenset(ids)


def since_swap(loaded: Loaded) -> SinceSwap | None:
    """How what answers has done since it does."""
    if loaded.since is None:
        return None
    ways = loaded.ways
    return SinceSwap(since=loaded.since, answered=ways.answered, failed=ways.failed, p95_s=ways.quantile_s(0.95))


def too_large(count: int) -> list[str]:
    """What people are told of messages that were dropped for their size, if there were any."""
    return [f"messages of more than {MAX_PAYLOAD_BYTES:,} bytes dropped: {count}"] if count else []
