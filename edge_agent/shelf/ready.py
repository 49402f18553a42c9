"""Models and pipelines of which every file is here and verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_agent.worker.worker_protocol import Load, ModelFile, ShadowFile
from schemas.names import LibraryName, ModelRef
from schemas.pipelines import NodeSpec, PipelineSpec
from schemas.topics import as_filter, shared


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model version on this edge's disk."""

    name: str
    version: int
    path: Path  # of its model.onnx
    content: str = ""  # the digest of its card

    def as_file(self) -> ModelFile:
        """What a worker is told of it."""
        return ModelFile(version=self.version, path=self.path, content=self.content)

    def as_shadow(self) -> ShadowFile:
        """What a worker is told of it when it is to ask it beside another."""
        return ShadowFile(name=self.name, version=self.version, path=self.path, content=self.content)


@dataclass(frozen=True, slots=True)
class ReadyPipeline:
    """A pipeline version with everything that its nodes refer to."""

    name: str
    version: int
    spec: PipelineSpec
    models: Mapping[ModelRef, ReadyModel]  # keyed as the nodes write it
    libraries: Mapping[LibraryName, Path]
    packages: tuple[Path, ...] = ()  # folders that the libraries' requirements are installed in
    content_id: str = ""  # a name for all of it
    shadows: Mapping[ModelRef, ReadyModel] = field(default_factory=dict)  # asked beside the model of that reference

    def as_order(self) -> Load:
        """The order to answer with it."""
        return Load(
            version=self.version,
            content_id=self.content_id,
            spec=self.spec,
            models={ref: model.as_file() for ref, model in self.models.items()},
            shadows={ref: model.as_shadow() for ref, model in self.shadows.items()},
            libraries=dict(self.libraries),
            packages=self.packages,
        )

    def is_named_otherwise(self, other: "ReadyPipeline | None") -> bool:
        """Whether the other is the same but for its name."""
        return other is not None and replace(self, content_id=other.content_id) == other

    @property
    def filters(self) -> frozenset[str]:
        """The topic filters that its worker subscribes to; the worker is the one to check that they are any."""
        subscribers = (node for node in self.spec.nodes if node.type == "mqtt_sub")
        return frozenset(self._filter(node) for node in subscribers)

    def _filter(self, node: NodeSpec) -> str:
        topic_filter = as_filter(str(node.params.get("topic")))
        is_shared = self.spec.replicas > 1 and not node.inputs
        return shared(self.name, topic_filter) if is_shared else topic_filter
