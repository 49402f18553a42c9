"""How a pipeline, and what is different between two versions of one, are shown to a person."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.cli.output import Columns, ago

if TYPE_CHECKING:
    from schemas.pipeline_changes import FieldChange, PipelineChanges
    from schemas.pipeline_views import PipelineVersionView, PipelineView
    from schemas.pipelines import NodeSpec, PipelineSpec
    from schemas.report import PipelineStatus


def edges_of(pipeline: "PipelineView") -> str:
    """How it does on each edge, a line each."""
    return "\n".join(_absence(edge, pipeline) + _standing(status).rstrip() for edge, status in pipeline.edges.items())


def _absence(edge: str, pipeline: "PipelineView") -> str:
    why = pipeline.absent.get(edge)
    return f"{edge} {why}; it said last: " if why else f"{edge}: "


def _standing(status: "PipelineStatus") -> str:
    since = f" since {ago(status.since)}" if status.since else ""
    failed = f"{status.failed} failed" + (f", the last {ago(status.failed_at)}" if status.failed_at else "")
    dropped = f", {status.dropped} dropped" if status.dropped else ""
    return (
        f"{status.state} version {status.version}{since}, {status.answered} of {status.received} answered, "
        f"{failed}{dropped} {status.reason}"
    )


def nodes_of(spec: "PipelineSpec") -> str:
    """Its nodes, a line each."""
    return "\n".join(
        f"{node.id}: {node.type}" + (f" of {', '.join(node.inputs)}" if node.inputs else "") for node in spec.nodes
    )


def figures_of(pipeline: "PipelineView") -> str:
    """How often each node ran on each edge, and how long that took, a line each."""
    return "\n".join(
        f"{edge}: {node} ran {figures.ran}, failed {figures.failed}, skipped {figures.skipped}; mean "
        f"{figures.mean_s * 1000:.3f} ms, half under {figures.p50_s * 1000:.3g}, 99 % under {figures.p99_s * 1000:.3g}"
        + "".join(f", {word} {number:.4g}" for word, number in figures.notes.items())
        for edge, status in pipeline.edges.items()
        for node, figures in status.nodes.items()
    )


COLUMNS: Columns["PipelineView"] = {
    "NAME": lambda pipeline: pipeline.spec.name,
    "VERSION": lambda pipeline: pipeline.version,
    "CREATED": lambda pipeline: ago(pipeline.created_at),
    "EDGES": lambda pipeline: "\n".join(filter(None, [edges_of(pipeline), pipeline.waits])),
}
FIELDS: Columns["PipelineView"] = {
    "name": lambda pipeline: pipeline.spec.name,
    "version": lambda pipeline: pipeline.version,
    "created": lambda pipeline: ago(pipeline.created_at),
    "nodes": lambda pipeline: nodes_of(pipeline.spec),
    "dead letters": lambda pipeline: pipeline.spec.dead_letters,
    "waits": lambda pipeline: pipeline.waits.removeprefix("waits "),
    "edges": edges_of,
    "figures": figures_of,
}
VERSION_FIELDS: Columns["PipelineVersionView"] = {
    "name": lambda version: version.spec.name,
    "version": lambda version: version.version,
    "created": lambda version: ago(version.created_at),
    "by": lambda version: version.made_by,
    "nodes": lambda version: nodes_of(version.spec),
    "dead letters": lambda version: version.spec.dead_letters,
    "runs on": lambda version: ", ".join(version.edges),
}


def change_lines(changes: "PipelineChanges") -> Iterator[str]:
    """Every difference, a line each: ``+`` what is new, ``-`` what is gone, ``~`` what is changed."""
    yield from (f"- node {_node(node)}" for node in changes.removed)
    yield from (f"+ node {_node(node)}" for node in changes.added)
    for change in changes.changed:
        yield from (f"~ node {change.node}: {_field(field)}" for field in change.fields)
    yield from (f"~ {_field(field)}" for field in changes.options)
    if changes.reordered:
        yield "~ the nodes stand in another order"
    if changes.moved:
        yield f"~ layout: {', '.join(changes.moved)} drawn elsewhere"


def summary(old: "PipelineSpec", new: "PipelineSpec") -> str:
    """What the new version changed, in a few words."""
    from schemas.pipeline_changes import changes_between  # noqa: PLC0415 - see the package's first line

    changes = changes_between(old, new)
    words = [f"-{node.id}" for node in changes.removed]
    words += [f"+{node.id}" for node in changes.added]
    words += [f"{change.node}: {', '.join(field.field for field in change.fields)}" for change in changes.changed]
    words += [field.field for field in changes.options]
    words += ["order"] if changes.reordered else []
    words += ["layout"] if changes.moved else []
    return "; ".join(words)


def _node(node: "NodeSpec") -> str:
    rest = node.model_dump(mode="json", exclude={"id", "type"}, exclude_unset=True, exclude_none=True)
    return ", ".join([f"{node.id}: {node.type}", *(f"{key} {_value(value)}" for key, value in rest.items())])


def _field(change: "FieldChange") -> str:
    if change.before is None:
        return f"{change.field}: {_value(change.after)} added"
    if change.after is None:
        return f"{change.field}: {_value(change.before)} removed"
    return f"{change.field}: {_value(change.before)} → {_value(change.after)}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
