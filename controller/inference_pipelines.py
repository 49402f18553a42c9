"""Writes the pipeline that answers messages with a model, from what is known of the model. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from pydantic import JsonValue

from schemas.errors import BadInput
from schemas.models import ModelVersion, TensorSpec
from schemas.names import ModelRef, Name
from schemas.pipeline_views import ProposedPipeline
from schemas.pipelines import PipelineSpec
from schemas.views import FieldError
from schemas.written import Written

_ADDED = frozenset({"position", "created"})
"""The columns that every collection has: where a row stands says nothing about what it measures."""

_MOST_OF_A_NAME = 80

_LONGEST_EXAMPLE = 64
"""Numbers; who wants more than these sees more from the shape than from an example."""

_NUMBERS = frozenset(
    {"float", "double", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
)


class Wish(Written):
    """What somebody wants of the pipeline; None: whatever goes without saying."""

    name: Name | None = None
    read: str | None = None  # topic
    write: str | None = None  # topic
    features: tuple[str, ...] = ()
    lists: bool = False  # messages are nested lists, although features could be known


class UnknownFeatures(BadInput):
    """Which features the model takes cannot be told, or those that are named do not fit it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errors = (FieldError(where="features", message=message),)


@dataclass(frozen=True, slots=True)
class Trained:
    """What is known of how a version was trained."""

    columns: Sequence[Mapping[str, bool]] = ()  # of each query: its columns, and whether they hold numbers
    named: Sequence[str] = ()  # the job's parameter `features`


@dataclass(frozen=True, slots=True)
class _Takes:
    """What a message has to be."""

    features: tuple[str, ...]
    why: str


def propose(card: ModelVersion, reference: ModelRef, wish: Wish, trained: Trained) -> ProposedPipeline:
    """The pipeline ``<model>/read`` → model → ``<model>/write``, and where its features are from.

    Raises:
        UnknownFeatures: those that are wished for do not fit the model, or there are none and they cannot be told.
    """
    takes = _takes(card, wish, trained)
    ask = {"model": reference, **({"features": list(takes.features)} if takes.features else {})}
    nodes = [
        {"id": "read", "type": "mqtt_sub", "topic": wish.read or f"{card.name}/read"},
        {"id": "model", "type": "model", **ask, "inputs": ["read"]},
        {"id": "write", "type": "mqtt_pub", "topic": wish.write or f"{card.name}/write", "inputs": ["model"]},
    ]
    spec = PipelineSpec.model_validate({"name": wish.name or f"{card.name[:_MOST_OF_A_NAME]}_pipeline", "nodes": nodes})
    return ProposedPipeline(spec=spec, version=card.version, why=takes.why, message=_message(card, takes.features))


def _takes(card: ModelVersion, wish: Wish, trained: Trained) -> _Takes:
    inputs, wanted = card.signature.inputs, _width(card.signature.inputs)
    if wish.features:
        if wanted is not None and len(wish.features) != wanted:
            raise UnknownFeatures(
                f"{card.name}:{card.version} takes {wanted} numbers, and {len(wish.features)} features are named"
            )
        return _Takes(wish.features, "as you named them")
    if wish.lists or wanted is None:
        return _Takes((), f"messages are {_lists(inputs)}")
    if len(inputs) > 1:
        return _Takes(tuple(spec.name for spec in inputs), "the model's inputs have these names")
    if len(trained.named) == wanted:
        return _Takes(tuple(trained.named), "the parameter `features` of the job that trained it names them")
    if not any(trained.columns):
        return _Takes((), f"nothing is known of rows that it was trained on: messages are {_lists(inputs)}")
    return _from_rows(card, wanted, trained)


def _from_rows(card: ModelVersion, wanted: int, trained: Trained) -> _Takes:
    if len(trained.columns) == 1:
        numbers = [name for name, numeric in trained.columns[0].items() if numeric and name not in _ADDED]
        if len(numbers) == wanted:
            why = "the columns with numbers of the rows that it was trained on, in their order"
            return _Takes(tuple(numbers), f"{why}; if its scripts take them in another order, name them")
    there = "; ".join(", ".join(columns) for columns in trained.columns)
    raise UnknownFeatures(
        f"{card.name}:{card.version} takes {wanted} numbers, and which columns these are of the rows that it was "
        f"trained on cannot be told ({there}); name its features in the order in which its scripts take them, or "
        "choose lists"
    )


def _width(inputs: Sequence[TensorSpec]) -> int | None:
    """How many numbers a row has, if the model takes rows of numbers or a column for each of its inputs."""
    if len(inputs) > 1:
        columns = all(len(spec.shape) == 1 or (len(spec.shape) == 2 and spec.shape[1] == 1) for spec in inputs)
        return len(inputs) if columns else None
    for spec in inputs:
        width = spec.shape[1] if len(spec.shape) == 2 else None
        if isinstance(width, int) and spec.dtype.removeprefix("tensor(").removesuffix(")") in _NUMBERS:
            return width
    return None


def _lists(inputs: Sequence[TensorSpec]) -> str:
    shapes = {spec.name: f"[{', '.join(str(axis or '?') for axis in spec.shape)}]" for spec in inputs}
    if len(shapes) == 1:
        return f"lists of the shape {next(iter(shapes.values()))}"
    return "objects of lists: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _message(card: ModelVersion, features: Sequence[str]) -> JsonValue:
    """A message that it answers; None if that would be too long to read."""
    if features:
        return dict.fromkeys(features, 0.0)
    shapes = {
        spec.name: [axis if isinstance(axis, int) else 1 for axis in spec.shape] for spec in card.signature.inputs
    }
    if sum(prod(shape) for shape in shapes.values()) > _LONGEST_EXAMPLE:
        return None
    zeros = {spec.name: _filled(shapes[spec.name], spec.dtype) for spec in card.signature.inputs}
    return next(iter(zeros.values())) if len(zeros) == 1 else zeros  # type: ignore[return-value]


def _filled(shape: Sequence[int], dtype: str) -> object:
    if not shape:
        return {"tensor(string)": "", "tensor(bool)": False}.get(dtype, 0)
    return [_filled(shape[1:], dtype) for _ in range(shape[0])]
