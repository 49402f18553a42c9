"""The model node: asks an ONNX model."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PositiveInt, Tag, model_validator

from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from schemas.mistakes import kind_tag
from schemas.names import ModelRef

Place = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$", max_length=500)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]!r} is named twice")  # an object of the outputs could hold it once only
    return names


_LIST, _MAPPING = kind_tag("list"), kind_tag("mapping")


def _kind(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return _LIST
    return _MAPPING if isinstance(value, dict) else None


Labels = Annotated[
    Annotated[Names, Tag(_LIST)] | Annotated[dict[int, str], Field(min_length=1), Tag(_MAPPING)],
    Discriminator(
        _kind,
        custom_error_type="no_labels",
        custom_error_message="is no list of names, and no mapping of numbers to names",
    ),
]
"""The names of classes by their index; whoever writes it wrongly is told of the form that they chose."""


class Batch(BaseModel):
    """How messages are answered together."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_rows: Annotated[int, Field(ge=1, le=100_000, description="At most so many rows in one call; 1: never.")] = 32


class Params(NodeParams):
    """Which model, what it is fed, and what is made of its answer."""

    model: ModelRef = Field(description="The model: `iris` (its champion), `iris@candidate` or `iris:3`.")
    features: Names | None = Field(
        None, description="Fields of the input object, in the order in which the model was trained on them."
    )
    feed: Annotated[dict[str, Place], Field(min_length=1)] | None = Field(
        None,
        description="By each input of the model where its value is: an input of the node, or a field: `in.image`.",
    )
    outputs: Annotated[Names, AfterValidator(_each_once)] | None = Field(
        None, description="The outputs of the model that are wanted; default the first. Several make an object."
    )
    labels: Labels | None = Field(None, description="Names of the classes by their index: a list, or an object.")
    top: PositiveInt | None = Field(
        None, description="Give the best so many classes, as `[{label, score}]`; needs an output with their scores."
    )
    provider: str = Field("cpu", description="The execution provider of ONNX Runtime, such as `cuda`.")
    batch: Batch = Field(Batch(), description="How messages that are there at once are answered together.")

    @model_validator(mode="after")
    def _one_way_in(self) -> "Params":
        if self.features is not None and self.feed is not None:
            raise ValueError("`features` and `feed` exclude each other: features are rows for the only input")
        return self

    def links(self) -> Links:
        """The model it asks."""
        return Links(model=self.model)


def make(params: Params, fittings: Fittings) -> Node:
    """The node itself. Only who runs pipelines needs numpy: a controller that checks them does not load it."""
    from pipeline_runtime.models.model_fitting import model_calls  # noqa: PLC0415

    return model_calls(params, fittings, fittings.inputs)


NODE = NodeType(
    name="model",
    params=Params,
    make=make,
    doc="Asks an ONNX model.",
    example="{id: predict, type: model, model: iris, features: [sepal_length, sepal_width], inputs: [in]}",
)
