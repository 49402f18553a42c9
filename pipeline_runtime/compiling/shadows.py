"""Puts a shadow beside each node that asks a certain model; the pipeline itself stays as it is."""

from collections.abc import Container, Mapping
from itertools import count

from schemas.names import ModelRef
from schemas.pipelines import NodeSpec, PipelineSpec

_LONGEST_ID = 63


def with_shadows(spec: PipelineSpec, shadows: Mapping[ModelRef, ModelRef]) -> PipelineSpec:
    """The pipeline with a node ``<node>__shadow`` for each that asks one of these models.

    They stand last in the document, so that what answers is asked first; no message waits for them, and they publish
    nothing.

    Args:
        spec: what answers.
        shadows: by the model that nodes ask, as they write it, the one to be asked beside it.
    """
    ids = {node.id for node in spec.nodes}
    beside = []
    for node in spec.nodes:
        ref = node.params.get("model")
        if node.type == "model" and isinstance(ref, str) and ref in shadows:
            beside.append(_shadow(node, shadows[ref], _free_id(node, ids)))
            ids.add(beside[-1].id)
    return spec.model_copy(update={"nodes": (*spec.nodes, *beside)})


def _free_id(node: NodeSpec, taken: Container[str]) -> str:
    """``<node>__shadow``, or the next that no node has: people may have named theirs so."""
    endings = ("__shadow" if number == 1 else f"__shadow{number}" for number in count(1))
    ids = (node.id[: _LONGEST_ID - len(ending)] + ending for ending in endings)
    return next(free for free in ids if free not in taken)


def _shadow(node: NodeSpec, model: ModelRef, shadow_id: str) -> NodeSpec:
    return NodeSpec.model_validate(
        {
            **node.params,
            "id": shadow_id,
            "type": "shadow",
            "model": model,
            "inputs": (*node.inputs, node.id),
            "against": node.id,
            "join": node.join or "all",
            "wait": False,
        }
    )
