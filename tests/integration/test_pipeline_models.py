"""Models on a real broker beyond one that answers rows: several outputs, and a shadow beside the one that answers."""

from dataclasses import replace
from pathlib import Path

import orjson

from edge_agent.shelf.ready import ReadyModel
from schemas.broker import BrokerAddress
from tests import onnx_graphs
from tests.integration.pipeline_desk import IN, SCORING, Written, desk, device, question, scoring


async def test_a_shadow_compares_and_stands_in_nobodys_way(broker: BrokerAddress, tmp_path: Path) -> None:
    """The served answer goes out as before; behind the shadow stands whoever wants to know how the two compare."""
    nodes: list[Written] = [
        *SCORING,
        {
            "id": "compare",
            "type": "shadow",
            "model": "m@candidate",
            "features": ["n", "one"],
            "against": "predict",
            "tolerance": 0.1,
            "inputs": ["in", "predict"],
        },
        {"id": "told", "type": "mqtt_pub", "topic": "t/compared", "inputs": ["compare"]},
    ]
    ready = scoring(tmp_path, 2, nodes=nodes)
    candidate = ReadyModel("m", 3, onnx_graphs.times(tmp_path / "m3.onnx", 3.0))
    async with desk(broker) as table, device(broker, "t/compared") as person:
        table.supervisor.apply({"p": replace(ready, models={**ready.models, "m@candidate": candidate})})
        await table.serving(2)
        await person.ask(question(0))
        assert await person.next() == [[0.0, 2.0]]
        compared = await person.next("t/compared")
        assert compared.pop("took_s") > 0
        assert compared == {"agree": False, "served": [[0.0, 2.0]], "shadow": [[0.0, 3.0]]}


async def test_named_outputs_and_labels_are_published(broker: BrokerAddress, tmp_path: Path) -> None:
    """Fields of the message go into the model's inputs, and its class numbers come out as names."""
    predict: Written = {
        "id": "predict",
        "type": "model",
        "model": "m",
        "feed": {"a": "in.rows", "b": "in.more.offset"},
        "outputs": ["class", "sum"],
        "labels": {"0": "cold", "1": "hot"},
        "inputs": ["in"],
    }
    ready = scoring(tmp_path, 2, nodes=[IN, predict, SCORING[2]])
    model = ReadyModel("m", 1, onnx_graphs.several(tmp_path / "several.onnx"))
    async with desk(broker) as table, device(broker) as person:
        table.supervisor.apply({"p": replace(ready, models={"m": model})})
        await table.serving(1)
        await person.ask(orjson.dumps({"rows": [[1, 2]], "more": {"offset": [[10]]}}))
        assert await person.next() == {"class": ["hot"], "sum": [{"cold": 11.0, "hot": 12.0}]}
