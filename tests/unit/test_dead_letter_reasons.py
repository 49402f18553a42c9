"""Reasons of dead letters, whatever characters an error speaks in."""

from pipeline_runtime.node_type import Fittings, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run
from tests.unit.engine_desk import Written, desk


class Unreadable(Node):
    """Fails as code does that tells of a file whose name is no UTF-8."""

    def __init__(self, _params: NodeParams, _fittings: Fittings) -> None:
        """There is nothing to remember."""

    def resolve(self, _value: object, _run: Run, /) -> object:
        """Nothing."""
        raise FileNotFoundError("no \udcff.txt")


async def test_a_reason_that_json_has_no_form_for_loses_no_message() -> None:
    """The dead letter says it with other characters, and so does whoever looks inside."""
    nodes: list[Written] = [
        {"id": "in", "type": "mqtt_sub", "topic": "t/in"},
        {"id": "x", "type": "unreadable", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["x"]},
    ]
    async with desk(nodes, NodeType("unreadable", NodeParams, Unreadable, doc="", example="")) as on:
        await on.answered(7)
        assert on.letters() == [("x", "FileNotFoundError: no ?.txt")]
        (outcome,) = on.engine.outcomes.newest(1)
        assert '"FileNotFoundError: no ?.txt"' in outcome.model_dump_json()
