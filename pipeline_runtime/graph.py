"""Checks a pipeline whole and puts its nodes in order; the only place that knows networkx."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import networkx as nx

from pipeline_runtime.node_type import Registry
from pipeline_runtime.plan import Plan, Step
from pipeline_runtime.problems import BadPipeline, Finding
from pipeline_runtime.steps import read_step
from pipeline_runtime.topic_rules import topic_clashes
from schemas.pipelines import PipelineSpec


def compile(spec: PipelineSpec, registry: Registry) -> Plan:  # noqa: A001 - the trade's word, used as graph.compile
    """Check a pipeline and compile it. Looks at no model and no library: the plan says which are needed.

    Raises:
        BadPipeline: with every problem found and its place.
    """
    read = {node.id: read_step(node, registry, spec.on_error) for node in spec.nodes}
    steps = {node_id: step for node_id, step in read.items() if isinstance(step, Step)}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(read)
    graph.add_edges_from(
        (source, node.id) for node in spec.nodes for ref in node.inputs if (source := ref.split(".")[0]) in read
    )

    findings = [finding for faults in read.values() if isinstance(faults, list) for finding in faults]
    findings += [*_bad_inputs(spec), *_cycles(graph), *topic_clashes(list(steps.values()), spec.dead_letters)]
    findings += [finding for step in steps.values() for finding in _bad_branches(step, steps)]
    if not findings:  # else what hangs loose may hang on what is wrong already
        findings += [*_loose_ends(graph, steps), *_undeclared_joins(spec, graph, steps), *_bad_queue(spec, steps)]
        findings += _lost_replies(spec, steps)
    if findings:
        raise BadPipeline(spec, findings)
    return _plan(spec, graph, steps)


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


def _undeclared_joins(spec: PipelineSpec, graph: "nx.DiGraph[str]", steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of nodes that join what may be skipped, and do not say what they do then."""
    declared = {node.id for node in spec.nodes if node.join}
    skipping = {node_id for node_id, step in steps.items() if step.type.may_skip}
    skipped = skipping.union(*(nx.descendants(graph, node_id) for node_id in skipping))
    for node_id, step in steps.items():
        if len(step.inputs) > 1 and node_id not in declared and not skipped.isdisjoint(step.parents):
            which = ", ".join(parent for parent in step.parents if parent in skipped)
            message = (
                f"{which} may be skipped: say `join: any` to run with what is there, or `join: all` to be skipped too"
            )
            yield Finding(node_id, "join", message)


def _bad_queue(spec: PipelineSpec, steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of roots that are to hold back messages which nothing can hold back."""
    if spec.queue.overflow != "block":
        return
    for node_id, step in steps.items():
        if not step.inputs and step.links.subscribes and step.links.qos == 0:
            message = "QoS 0 cannot be held back, as `overflow: block` wants it; write drop_oldest or drop_newest"
            yield Finding(node_id, "qos", message)


def _cycles(graph: "nx.DiGraph[str]") -> Iterator[Finding]:
    for component in nx.strongly_connected_components(graph):
        around = graph.subgraph(component)
        if around.number_of_edges():
            cycle = [source for source, _ in nx.find_cycle(around, min(component))]
            yield Finding(cycle[0], "inputs", f"the nodes feed each other: {' -> '.join([*cycle, cycle[0]])}")


def _lost_replies(spec: PipelineSpec, steps: Mapping[str, Step]) -> Iterator[Finding]:
    """Tell of replies that every replica would take for its own."""
    for node_id, step in steps.items():
        if spec.replicas > 1 and step.inputs and step.links.subscribes and not step.links.correlated:
            message = f"each of the {spec.replicas} replicas gets every reply: say with `correlate` which it waits for"
            yield Finding(node_id, "correlate", message)


def _loose_ends(graph: "nx.DiGraph[str]", steps: Mapping[str, Step]) -> Iterator[Finding]:
    roots: dict[str, str] = {}  # the one above each node, or one of those that it joins
    for node_id in nx.topological_sort(graph):
        step = steps[node_id]
        above = sorted({roots[source] for source in step.parents})
        roots[node_id] = above[0] if above else node_id
        if not above and not step.type.starts_runs:
            yield Finding(node_id, "inputs", "no message ever comes here: without inputs only a mqtt_sub may stand")
        elif not above and not graph.out_degree(node_id):
            yield Finding(node_id, "", "what it receives goes nowhere: no node has it as an input")
        elif len(above) > 1:
            message = (
                f"joins {' and '.join(above)}, but each message is a run of its own; "
                f"to wait for a message of {above[1]!r}, give it `inputs: [{above[0]}]`"
            )
            yield Finding(node_id, "inputs", message)


def _plan(spec: PipelineSpec, graph: "nx.DiGraph[str]", steps: Mapping[str, Step]) -> Plan:
    written = {node.id: index for index, node in enumerate(spec.nodes)}
    order = [steps[node_id] for node_id in nx.lexicographical_topological_sort(graph, key=lambda node: written[node])]
    routes = {}
    for step in order:
        below = nx.descendants(graph, step.id)
        routes[step.id] = tuple(other for other in order if other.id in below)
    roots = tuple(step.id for step in order if not step.inputs)
    group = spec.name if spec.replicas > 1 else ""
    return Plan(spec.name, spec.dead_letters, spec.queue, group, tuple(order), routes, roots)
