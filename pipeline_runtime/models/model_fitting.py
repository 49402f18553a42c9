"""Fits a model to the parameters of the node that asks it, or says why it does not fit."""

from collections.abc import Sequence

from pipeline_runtime.models.model_answer import Answer
from pipeline_runtime.models.model_calls import ModelCalls
from pipeline_runtime.models.model_feed import ReadFeed, feed_by_features, feed_by_name, feed_by_paths
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.quick_rows import quick_rows
from pipeline_runtime.node_type import Fittings
from pipeline_runtime.nodes.model import Params
from schemas.errors import BadInput


def model_calls(params: Params, fittings: Fittings, inputs: Sequence[str]) -> ModelCalls:
    """How the node asks its model. Blocks: the model is tried.

    Args:
        params: of the node.
        fittings: its model's among them.
        inputs: the node's inputs that go into the model, as written.

    Raises:
        BadInput: naming the model that has not the inputs, the outputs or the provider that the parameters name.
    """
    try:
        return _fitted(params, fittings.models[params.model], inputs)
    except BadInput as error:
        raise BadInput(f"model {params.model!r}: {error}") from error


def _fitted(params: Params, loaded: OnnxModel, inputs: Sequence[str]) -> ModelCalls:
    model = loaded.on(params.provider)
    labels = dict(enumerate(params.labels)) if isinstance(params.labels, tuple) else params.labels
    answer = Answer(model.signature.outputs, params.outputs, labels, params.top)
    read = _feed(params, model, inputs)
    quickly = len(answer.names) == 1 and params.feed is None
    quick = quick_rows(model, answer.names[0], params.features) if quickly else None
    return ModelCalls(model, read, answer, max_rows=params.batch.max_rows, quick=quick)


def _feed(params: Params, model: OnnxModel, parents: Sequence[str]) -> ReadFeed:
    inputs = model.signature.inputs
    if params.features is not None:
        return feed_by_features(inputs, params.features)
    if params.feed is not None:
        return feed_by_paths(inputs, params.feed, parents)
    return feed_by_name(inputs)
