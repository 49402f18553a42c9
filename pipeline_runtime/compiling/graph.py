"""Checks a pipeline whole and puts its nodes in order."""

from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping

from pipeline_runtime.compiling.declarations import bad_queue, idle_parameters, lost_replies, undeclared_joins
from pipeline_runtime.compiling.order import NodeOrder
from pipeline_runtime.compiling.plan import Plan, Step
from pipeline_runtime.compiling.problems import BadPipeline, Finding
from pipeline_runtime.compiling.steps import read_step
from pipeline_runtime.compiling.topic_rules import topic_clashes
from pipeline_runtime.node_type import Registry
from schemas.pipelines import NodeSpec, PipelineSpec


def compile(spec: PipelineSpec, registry: Registry) -> Plan:  # noqa: A001 - the trade's word, used as graph.compile
    """Check a pipeline and compile it. Looks at no model and no library: the plan says which are needed.

    Raises:
        BadPipeline: with every problem found and its place.
    """
    read = {node.id: read_step(node, registry, spec.on_error) for node in spec.nodes}
    steps = {node_id: step for node_id, step in read.items() if isinstance(step, Step)}
    order = NodeOrder({node.id: _known_parents(node, read) for node in spec.nodes})

    findings = [finding for faults in read.values() if isinstance(faults, list) for finding in faults]
    findings += [*_bad_inputs(spec), *_cycles(order), *topic_clashes(list(steps.values()), spec.dead_letters)]
    findings += [finding for step in steps.values() for finding in _bad_branches(step, steps)]
    findings += idle_parameters(steps)
    if not findings:  # else what hangs loose may hang on what is wrong already
        findings += [*_loose_ends(order, steps), *undeclared_joins(spec, order, steps)]
        findings += [*bad_queue(spec, steps), *lost_replies(spec, steps)]
    if findings:
        raise BadPipeline(spec, findings)
    return _plan(spec, order, steps)


def _known_parents(node: NodeSpec, known: Container[str]) -> list[str]:
    return [source for ref in node.inputs if (source := ref.split(".")[0]) in known]


def _bad_inputs(spec: PipelineSpec) -> Iterator[Finding]:
    known = {node.id for node in spec.nodes}
    for node in spec.nodes:
        for ref, times in Counter(node.inputs).items():
            source = ref.split(".")[0]
            if source not in known:
                yield Finding(node.id, "inputs", f"{source!r} is no node of this pipeline")
            if times > 1:
                yield Finding(node.id, "inputs", f"{ref!r} stands there {times} times")


def _bad_branches(step: Step, steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of inputs that name a branch which is not there, or none where there are some."""
    for source in step.inputs:
        above = steps.get(source.node)
        branches = above.type.branches(above.params) if above else ()
        if above is None or source.branch in (branches or ("",)):
            continue
        there = f"write {source.node}.{' or .'.join(branches)}" if branches else f"write {source.node}"
        yield Finding(step.id, "inputs", f"{str(source)!r}: {source.node!r} {_branches_text(branches)}; {there}")


def _branches_text(branches: Collection[str]) -> str:
    return f"has the branches {', '.join(branches)}" if branches else "has no branches"


def _cycles(order: NodeOrder) -> Iterator[Finding]:
    for cycle in order.cycles():
        yield Finding(cycle[0], "inputs", f"the nodes feed each other: {' -> '.join(cycle)}")


def _loose_ends(order: NodeOrder, steps: Mapping[str, Step]) -> Iterator[Finding]:
    roots: dict[str, str] = {}  # the one above each node, or one of those that it joins
    for node_id in order.parents_first():
        step = steps[node_id]
        above = sorted({roots[source] for source in step.parents})
        roots[node_id] = above[0] if above else node_id
        if not above and not step.type.starts_runs:
            yield Finding(node_id, "inputs", "no message ever comes here: without inputs only a mqtt_sub may stand")
        elif not above and not order.feeds(node_id):
            yield Finding(node_id, "", "what it receives goes nowhere: no node has it as an input")
        elif len(above) > 1:
            message = (
                f"joins {' and '.join(above)}, but each message is a run of its own; "
                f"to wait for a message of {above[1]!r}, give it `inputs: [{above[0]}]`"
            )
            yield Finding(node_id, "inputs", message)


def _plan(spec: PipelineSpec, order: NodeOrder, steps: Mapping[str, Step]) -> Plan:
    sorted_steps = [steps[node] for node in order.parents_first()]
    routes = {}
    for step in sorted_steps:
        below = order.behind(step.id)
        routes[step.id] = tuple(other for other in sorted_steps if other.id in below)
    roots = tuple(step.id for step in sorted_steps if not step.inputs)
    group = spec.name if spec.replicas > 1 else ""
    return Plan(spec.name, spec.dead_letters, spec.queue, group, tuple(sorted_steps), routes, roots)
