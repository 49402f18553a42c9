"""How a mistake in a pipeline's file is told: file and line, field and node, and what belongs there instead."""

from pathlib import Path

import pytest

from schemas.errors import BadInput
from schemas.export import json_schema
from schemas.known_keys import keys_at
from tidemill.cli.pipeline_file import read_pipeline

ROOT = "{id: in, type: mqtt_sub, topic: q}"
HTTP = 'id: l, type: http, url: "http://h/"'
MODEL = "id: m, type: model, model: iris"


def told(tmp_path: Path, *nodes: str, more: str = "") -> list[str]:
    """What is said about a pipeline of these nodes, the first of which stands in line 4."""
    file = tmp_path / "p.yaml"
    file.write_text("\n".join(["name: p", more or "paused: false", "nodes:", *(f"- {node}" for node in nodes), ""]))
    with pytest.raises(BadInput) as caught:
        read_pipeline(file)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


@pytest.mark.parametrize(
    ("keys", "field", "says"),
    [
        ("id: s, type: mqtt_pub, topic: a, qos: 7", "qos", "Input should be 0 or 1"),
        ("id: s, type: mqtt_pub, topic: a, format: jsn", "format", "Input should be 'json', 'msgpack', "),
        ("id: s, type: mqtt_pub, topic: a, retain: perhaps", "retain", "Input should be a valid boolean"),
        (f"{HTTP}, concurrency: 0", "concurrency", "Input should be greater than or equal to 1"),
        (f"{HTTP}, method: get", "method", "Input should be 'GET', 'POST', "),
        (f"{HTTP}, timeout_s: soon", "timeout_s", "'soon' is no duration"),
        (f"{MODEL}, top: 0", "top", "Input should be greater than 0"),
        (f"{MODEL}, batch: {{max_rows: 0}}", "batch.max_rows", "Input should be greater than or equal to 1"),
        (f"{MODEL}, outputs: []", "outputs", "needs at least 1, and has 0"),
        (f"{MODEL}, features: [a, 1]", "features[1]", "1 is no text; put it in quotes"),
        (f"{MODEL}, labels: 3", "labels", "is no list of names, and no mapping of numbers to names"),
        (f"{MODEL}, labels: [1]", "labels[0]", "1 is no text; put it in quotes"),
        (f"{MODEL}, labels: {{0: 1}}", "labels[0]", "1 is no text; put it in quotes"),
        ("id: s, type: filter, where: a >", "where", "Unexpected end of expression"),
        ("id: s, type: switch, routes: {}", "routes", "needs at least 1, and has 0"),
        ("id: s, type: switch, routes: {hot: a >}", "routes.hot", "Unexpected end of expression"),
        ("id: w, type: window, size: long", "size", "'long' is no duration"),
        ("id: w, type: window, size: 1s, values: {a: {use: men}}", "values.a.use", "Input should be 'count', 'sum', "),
        ("id: w, type: window, size: 1s, values: {a: {use: quantile, of: t, q: 2}}", "values.a.q", "Input should be"),
        ("id: s, type: mqtt_pub", "topic", "is needed"),
        ("id: s, type: mqtt_pub, topic: q", "topic", "publishes on 'q', which 'in' takes"),
    ],
)
def test_a_wrong_parameter_is_told_with_its_place(tmp_path: Path, keys: str, field: str, says: str) -> None:
    """One line, in the form in which the keys of every node and those of the pipeline are told of."""
    node = keys.partition(",")[0].removeprefix("id: ")
    (said,) = told(tmp_path, ROOT, f"{{{keys}, inputs: [in]}}")
    assert said.startswith(f"p.yaml:5: nodes[1].{field}: node '{node}': {says}"), said


def test_a_root_has_its_place_too(tmp_path: Path) -> None:
    """Its line and its index are those of the document."""
    (said,) = told(tmp_path, "{id: in, type: mqtt_sub, topic: q, order_by: [a]}")
    assert said.startswith("p.yaml:4: nodes[0].order_by: node 'in': "), said


@pytest.mark.parametrize(
    ("keys", "field", "instead"),
    [
        (f"{MODEL}, batch: {{rows: 1}}", "batch.rows", "did you mean max_rows?"),
        (f"{MODEL}, batch: {{zzz: 1}}", "batch.zzz", "there are max_rows"),
        (f"{MODEL}, featurs: [a]", "featurs", "did you mean features?"),
        (f"{MODEL}, input: [in]", "input", "did you mean inputs?"),
        ("id: f, type: filter, where: a, zzz: 1", "zzz", "there are where, id, type, inputs, join, on_error"),
        ("id: w, type: window, size: 1s, values: {a: {use: count, o: t}}", "values.a.o", "did you mean of?"),
        ("id: f, type: filter, where: a, on_error: {retires: 3}", "on_error.retires", "did you mean retry?"),
    ],
)
def test_an_unknown_key_is_told_with_what_it_may_have_been_meant_for(
    tmp_path: Path, keys: str, field: str, instead: str
) -> None:
    """What is named instead is what may stand at that very place."""
    node = keys.partition(",")[0].removeprefix("id: ")
    (said,) = told(tmp_path, ROOT, f"{{{keys}, inputs: [in]}}")
    assert said == f"p.yaml:5: nodes[1].{field}: node '{node}': no such key; {instead}"


def test_a_mistyped_key_of_the_pipeline_is_told_likewise(tmp_path: Path) -> None:
    """At the top and in a mapping there."""
    assert told(tmp_path, ROOT, more="queu: {}") == ["p.yaml:2: queu: no such key; did you mean queue?"]
    (said,) = told(tmp_path, ROOT, more="queue: {sise: 1}")
    assert said == "p.yaml:2: queue.sise: no such key; did you mean size?"


def test_a_mistyped_parameter_that_is_needed_is_two_mistakes(tmp_path: Path) -> None:
    """The one that is not there, and the one that is."""
    assert told(tmp_path, "{id: in, type: mqtt_sub, topik: q}") == [
        "p.yaml:4: nodes[0].topic: node 'in': is needed",
        "p.yaml:4: nodes[0].topik: node 'in': no such key; did you mean topic?",
    ]


def test_what_is_wrong_with_a_whole_node_is_told_with_the_node(tmp_path: Path) -> None:
    """There is no field to name."""
    assert told(tmp_path, ROOT) == [
        "p.yaml:4: nodes[0]: node 'in': what it receives goes nowhere: no node has it as an input"
    ]


def test_keys_are_found_at_any_depth() -> None:
    """Through references, lists, mappings of any names, and the kinds of documents; where any key may stand, none."""
    schema = json_schema("fleet-document")
    assert keys_at(schema, ("Pipeline", "queue")) == ("in_flight", "size", "overflow")
    assert keys_at(schema, ("Pipeline", "nodes", 0, "on_error")) == ("retry", "backoff", "then")
    assert keys_at(schema, ("Pipeline", "layout", "in")) == ("x", "y")
    assert "memory_mb" in keys_at(schema, ("Pipeline",))
    assert "memory_mb" not in keys_at(schema, ("Job",))
    assert "memory_mb" in keys_at(schema, ("Job", "limits"))
    assert keys_at(schema, ("Job", "params", "anything")) == ()
    assert keys_at(schema, ("Pipeline", "name")) == ()
