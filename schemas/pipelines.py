"""A pipeline as people write it; what its node types mean is the pipeline runtime's business."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.names import Identifier, Name
from schemas.topics import check_topic
from schemas.written import Written


class NodeSpec(BaseModel):
    """One node: the keys beside these three are the parameters of its type."""

    model_config = ConfigDict(frozen=True, extra="allow")
    id: Identifier
    type: Annotated[str, Field(min_length=1, max_length=100)]
    inputs: tuple[Identifier, ...] = ()

    @property
    def params(self) -> dict[str, object]:
        """The parameters of the node's type, not yet checked."""
        return dict(self.model_extra or {})


class PipelineSpec(Written):
    """A directed acyclic graph of nodes fed by MQTT."""

    name: Name
    nodes: Annotated[tuple[NodeSpec, ...], Field(min_length=1, max_length=1000)]
    dead_letter_topic: Annotated[str, AfterValidator(check_topic)] | None = None  # default: <name>/dead_letters

    @property
    def dead_letters(self) -> str:
        """The topic that failed messages are published on."""
        return self.dead_letter_topic or f"{self.name}/dead_letters"

    @model_validator(mode="after")
    def _unique_ids(self) -> "PipelineSpec":
        ids = [node.id for node in self.nodes]
        twice = sorted({node_id for node_id in ids if ids.count(node_id) > 1})
        if twice:
            raise ValueError(f"two nodes have the id {', '.join(twice)}")
        return self
