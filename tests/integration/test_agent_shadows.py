"""A shadow gets the same live messages, answers nobody, and troubles nobody."""

import onnx
import psutil

from schemas.broker import BrokerAddress
from schemas.report import PipelineState, Report
from tests.integration.agent_process import AgentProcess
from tests.integration.returning_bench import answers, ask, content, model, sample, the_one
from tests.integration.scripted_controller import ScriptedController
from tests.integration.test_agent_deployments import adding

SHADOW = "sum__shadow"


def with_another_output() -> bytes:
    """A model that gives something of another name."""
    made = onnx.ModelProto.FromString(adding(1))
    made.graph.node[0].output[0] = made.graph.output[0].name = "z"
    return bytes(made.SerializeToString())


def compared(report: Report) -> tuple[float, float]:
    """How often the shadow agreed and disagreed."""
    figures = the_one(report).nodes.get(SHADOW)
    return (figures.notes["agreed"], figures.notes["disagreed"]) if figures and figures.notes else (0, 0)


def workers(agent: AgentProcess) -> list[int]:
    """The processes of pipelines."""
    children = psutil.Process(agent.pid).children()
    return [child.pid for child in children if "edge_agent.worker.pipeline_worker" in child.cmdline()]


async def test_a_shadow_is_compared_on_live_messages_and_goes_again(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """One that is another model disagrees, one with the same answers agrees; the same process serves all the while."""
    alone = content(scripted, 1)
    await scripted.want(pipelines=(alone,))
    await scripted.report(lambda report: answers(report, 1))
    pids = workers(agent)
    other, same = model(scripted, 2), model(scripted, 3, adding(1))
    for candidate, expected in ((other, (0, 20)), (same, (20, 0))):
        await scripted.want(pipelines=(alone.model_copy(update={"shadows": {"add": candidate}}),))
        await scripted.report(lambda report: SHADOW in the_one(report).nodes and compared(report) == (0, 0))
        assert await ask(broker, *range(20)) == [[number, 1] for number in range(20)]
        report = await scripted.report(lambda report, expected=expected: compared(report) == expected)  # type: ignore[misc]
        notes = the_one(report).nodes[SHADOW].notes
        assert (notes["failed"], notes["missed"]) == (0, 0)
        assert notes["mean_s"] > 0
        assert the_one(report).models == {"add": 1}
    await scripted.want(pipelines=(alone,))
    await scripted.report(lambda report: SHADOW not in the_one(report).nodes and answers(report, 1))
    status = the_one(scripted.reports[-1])
    assert (status.restarts, status.failed, status.returned) == (0, 0, None)
    assert workers(agent) == pids


async def test_a_shadow_that_cannot_be_had_is_left_out(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """One that is no model, one that fails its sample, one whose files never come: each is told, and nothing waits."""
    unfit = model(scripted, 3, None, sample(scripted, [1], [9]))
    reasons = {"cannot be loaded as an ONNX model": model(scripted, 2, b"no model"), "one is 4.0, and was 9.0": unfit}
    missing = model(scripted, 4)
    scripted.blobs.delete(scripted.blobs.put_bytes(adding(4)).digest)
    reasons["does not hold"] = missing
    alone = content(scripted, 1)
    await scripted.want(pipelines=(alone,))
    await scripted.report(lambda report: answers(report, 1))
    pids = workers(agent)
    for reason, shadow in reasons.items():
        await scripted.want(pipelines=(alone.model_copy(update={"shadows": {"add": shadow}}),))
        report = await scripted.report(lambda report, reason=reason: reason in the_one(report).reason)  # type: ignore[misc]
        assert the_one(report).reason.startswith("shadow of add: ")
        assert the_one(report).state is PipelineState.LISTENING
        assert answers(report, 1)
        assert await ask(broker, 5) == [[5, 1]]
    assert (workers(agent), the_one(scripted.reports[-1]).restarts) == (pids, 0)


async def test_a_shadow_that_does_not_fit_its_node_is_left_out_by_the_worker(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """A sound model without the output that the node wants fails nothing, and comes with the pipeline's first start."""
    shadow = model(scripted, 2, with_another_output())
    shadowed = content(scripted, 1).model_copy(update={"shadows": {"add": shadow}})
    await scripted.want(pipelines=(shadowed,))
    report = await scripted.report(lambda report: "shadow left out" in the_one(report).reason)
    assert f"node '{SHADOW}'" in the_one(report).reason
    assert (the_one(report).state, the_one(report).restarts) == (PipelineState.LISTENING, 0)
    assert await ask(broker, 5) == [[5, 1]]
    assert len(workers(agent)) == 1


async def test_a_worker_that_ends_with_a_shadow_is_started_without(
    scripted: ScriptedController, agent: AgentProcess, broker: BrokerAddress
) -> None:
    """The shadow may have been its end, so the serving goes on alone until other shadows are wanted."""
    alone = content(scripted, 1)
    shadowed = alone.model_copy(update={"shadows": {"add": model(scripted, 2)}})
    await scripted.want(pipelines=(shadowed,))
    await scripted.report(lambda report: SHADOW in the_one(report).nodes)
    (pid,) = workers(agent)
    psutil.Process(pid).kill()
    report = await scripted.report(lambda report: the_one(report).restarts == 1 and answers(report, 1))
    status = the_one(report)
    assert "its shadows are left out, as its worker ended with them: it was killed by SIGKILL" in status.reason
    assert (SHADOW in status.nodes, status.state) == (False, PipelineState.LISTENING)
    assert await ask(broker, 5) == [[5, 1]]
    await scripted.want(pipelines=(alone.model_copy(update={"shadows": {"add": model(scripted, 3)}}),))
    await scripted.report(lambda report: SHADOW in the_one(report).nodes and not the_one(report).reason)
