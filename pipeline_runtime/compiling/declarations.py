"""What a pipeline says beside its graph: whether it is enough, and whether it fits the graph."""

from collections.abc import Iterator, Mapping

from pipeline_runtime.compiling.order import NodeOrder
from pipeline_runtime.compiling.plan import Step
from pipeline_runtime.compiling.problems import Finding
from schemas.pipelines import PipelineSpec


def undeclared_joins(spec: PipelineSpec, order: NodeOrder, steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of nodes that join what may be skipped, and do not say what they do then."""
    declared = {node.id for node in spec.nodes if node.join}
    skipping = {node_id for node_id, step in steps.items() if step.type.may_skip}
    skipped = skipping.union(*(order.behind(node_id) for node_id in skipping))
    for node_id, step in steps.items():
        if len(step.inputs) > 1 and node_id not in declared and not skipped.isdisjoint(step.parents):
            which = ", ".join(parent for parent in step.parents if parent in skipped)
            message = (
                f"{which} may be skipped: say `join: any` to run with what is there, or `join: all` to be skipped too"
            )
            yield Finding(node_id, "join", message)


def bad_queue(spec: PipelineSpec, steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of roots that are to hold back messages which nothing can hold back."""
    if spec.queue.overflow != "block":
        return
    for node_id, step in steps.items():
        if not step.inputs and step.links.subscribes and step.links.qos == 0:
            message = "QoS 0 cannot be held back, as `overflow: block` wants it; write drop_oldest or drop_newest"
            yield Finding(node_id, "qos", message)


def lost_replies(spec: PipelineSpec, steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of replies that every replica would take for its own."""
    for node_id, step in steps.items():
        if spec.replicas > 1 and step.inputs and step.links.subscribes and not step.links.correlated:
            message = f"each of the {spec.replicas} replicas gets every reply: say with `correlate` which it waits for"
            yield Finding(node_id, "correlate", message)


def idle_parameters(steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of parameters that mean nothing where their node stands, so that nobody relies on them."""
    for node_id, step in steps.items():
        if step.inputs:
            names, message = step.type.only_as_root, "means nothing on a node with inputs: write it on the root, or not"
        else:
            names = step.type.only_with_inputs
            message = "means nothing on a node without inputs: leave it out, or give the node `inputs`"
        given = sorted(names & step.params.model_fields_set)
        yield from (Finding(node_id, name, message) for name in given if getattr(step.params, name) is not None)
