"""Node types that installed packages add."""

import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.compiling.problems import BadPipeline
from pipeline_runtime.installed import GROUP, Offer, with_offers
from pipeline_runtime.node_type import NodeParams, NodeType, Registry
from schemas.names import Identifier
from schemas.pipelines import PipelineSpec
from tests.node_package.acme_nodes import NODE

TESTS = Path(__file__).parents[1]


class Taken(NodeParams):
    """Parameters with a name that every node's keys have."""

    inputs: Identifier


class Odd(NodeParams):
    """Parameters that no document can hold."""

    model_config = {"arbitrary_types_allowed": True}
    thing: SimpleNamespace


def types_of(params: object, name: str = "odd") -> NodeType[NodeParams]:
    """A node type with these parameters."""
    return NodeType(name=name, params=params, make=NODE.make, doc="Odd.", example="{}")  # type: ignore[arg-type]


TAKEN, ODD, NO_PARAMS = types_of(Taken), types_of(Odd), types_of(dict)


def offer(name: str, value: str, package: str = "acme-nodes") -> Offer:
    """What a package offers."""
    return Offer(name, package, EntryPoint(name, value, GROUP))


def refusal(name: str, value: str) -> str:
    """Why a type is not taken."""
    return with_offers(builtin_types(), [offer(name, value)]).refused[name]


def test_a_package_adds_a_type() -> None:
    """What a package offers stands beside what comes with Tidemill, and a pipeline may use it."""
    registry = with_offers(builtin_types(), [offer("threshold", "tests.node_package.acme_nodes:NODE")])
    assert set(registry.names) == {*builtin_types().names, "threshold"}
    assert compiled(registry, "threshold", field="t", limit=1.0)


def test_a_broken_package_takes_down_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is warned of by name, the types of others are there, and a pipeline that wants it is told why it is not."""
    broken = offer("odd", "tests.no_such_module:NODE", "broken-nodes")
    with caplog.at_level(logging.WARNING):
        registry = with_offers(builtin_types(), [broken, offer("threshold", "tests.node_package.acme_nodes:NODE")])
    assert "threshold" in registry.names
    (record,) = caplog.records
    assert (record.__dict__["package"], record.__dict__["type"]) == ("broken-nodes", "odd")
    with pytest.raises(BadPipeline, match="the package broken-nodes has one, which is not taken"):
        compiled(registry, "odd")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("model", "tests.node_package.acme_nodes:NODE", "a type of that name comes with Tidemill"),
        ("odd", "sys:exit", "it is no NodeType but builtin_function_or_method"),
        ("odd", "tests.node_package.acme_nodes:NODES", "cannot be loaded: AttributeError"),
        ("limit", "tests.node_package.acme_nodes:NODE", "the entry point is called 'limit', and the type 'threshold'"),
        ("odd", "tests.unit.test_installed_types:TAKEN", "may not be called inputs"),
        ("odd", "tests.unit.test_installed_types:ODD", "cannot be loaded: PydanticInvalidForJsonSchema"),
        ("odd", "tests.unit.test_installed_types:NO_PARAMS", "its params are no NodeParams"),
        ("Odd one", "tests.node_package.acme_nodes:NODE", "is no name for a type"),
    ],
)
def test_what_is_no_type_is_refused(name: str, value: str, why: str) -> None:
    """Each mistake of an author is told; what comes with Tidemill is never replaced."""
    assert why in refusal(name, value)


def test_two_packages_of_one_type_are_both_refused() -> None:
    """Which one came first would differ from machine to machine."""
    offers = [offer("threshold", "tests.node_package.acme_nodes:NODE", package) for package in ("one", "two")]
    registry = with_offers(builtin_types(), offers)
    assert "threshold" not in registry.names
    assert "several packages" in registry.refused["threshold"]


def test_an_unknown_type_says_where_to_install_it() -> None:
    """The controller checks documents, so that it too needs what adds a type."""
    with pytest.raises(BadPipeline, match="install the package on the controller and on the edges"):
        compiled(builtin_types(), "threshold")


def test_the_page_shows_the_package_that_is_tested() -> None:
    """What authors copy from the page is what the tests install and run."""
    text = (TESTS.parent / "docs" / "node_packages.md").read_text(encoding="utf-8")
    for name in ("pyproject.toml", "acme_nodes.py"):
        assert (TESTS / "node_package" / name).read_text(encoding="utf-8").strip() in text


def compiled(registry: Registry, node_type: str, **params: object) -> object:
    """A pipeline with one node of this type."""
    nodes = [
        {"id": "in", "type": "mqtt_sub", "topic": "a"},
        {"id": "x", "type": node_type, "inputs": ["in"], **params},
        {"id": "out", "type": "mqtt_pub", "topic": "b", "inputs": ["x"]},
    ]
    return compile_graph(PipelineSpec.model_validate({"name": "p", "nodes": nodes}), registry)
