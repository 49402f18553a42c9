"""What is different between two versions of a pipeline, node by node and parameter by parameter. Pure."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, JsonValue

from schemas.names import Identifier
from schemas.pipelines import NodeSpec, PipelineSpec


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FieldChange(_Told):
    """One field that is different; None: it is not there."""

    field: str  # such as timeout_s, or on_error.retry
    before: JsonValue = None
    after: JsonValue = None


class NodeChange(_Told):
    """One node that is in both versions, and different."""

    node: Identifier
    fields: tuple[FieldChange, ...]


class PipelineChanges(_Told):
    """Everything that is different."""

    added: tuple[NodeSpec, ...] = ()
    removed: tuple[NodeSpec, ...] = ()
    changed: tuple[NodeChange, ...] = ()
    options: tuple[FieldChange, ...] = ()  # of the pipeline as a whole
    moved: tuple[Identifier, ...] = ()  # nodes that an editor draws elsewhere
    reordered: bool = False  # the nodes that are in both stand in another order

    @property
    def changes_answers(self) -> bool:
        """Whether the pipeline itself is different, and not only how it is drawn."""
        return bool(self.added or self.removed or self.changed or self.options or self.reordered)


def changes_between(old: PipelineSpec, new: PipelineSpec) -> PipelineChanges:
    """What has to be done to the old one to get the new one."""
    before, after = ({node.id: node for node in spec.nodes} for spec in (old, new))
    both = [node_id for node_id in before if node_id in after]
    changed = ((node_id, tuple(_fields(_node(before[node_id]), _node(after[node_id])))) for node_id in both)
    drawn = {**old.layout, **new.layout}
    return PipelineChanges(
        added=tuple(node for node in new.nodes if node.id not in before),
        removed=tuple(node for node in old.nodes if node.id not in after),
        changed=tuple(NodeChange(node=node_id, fields=fields) for node_id, fields in changed if fields),
        options=tuple(_fields(_options(old), _options(new))),
        moved=tuple(node_id for node_id in drawn if old.layout.get(node_id) != new.layout.get(node_id)),
        reordered=both != [node_id for node_id in after if node_id in before],
    )


def _node(node: NodeSpec) -> dict[str, JsonValue]:
    return node.model_dump(mode="json", exclude={"id"}, exclude_none=True)


def _options(spec: PipelineSpec) -> dict[str, JsonValue]:
    return spec.model_dump(mode="json", exclude={"name", "nodes", "layout"}, exclude_none=True)


def _fields(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue], inside: str = "") -> Iterator[FieldChange]:
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _fields(before, after, f"{inside}{key}.")
        elif before != after:
            yield FieldChange(field=f"{inside}{key}", before=before, after=after)
