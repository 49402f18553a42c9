"""What people are told of a pipeline that cannot run anywhere yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.site import Site, controller
from tests.onnx_graphs import times
from tidemill.client import Client
from tidemill.fleet_files import read_fleet

DOCUMENTS = """\
kind: Model
name: tiny
file: tiny.onnx
---
kind: Model
name: empty
"""
PIPELINE = """\
---
kind: Pipeline
name: {name}
nodes:
  - {{id: in, type: mqtt_sub, topic: t/{name}}}
  - {{id: predict, type: model, model: "{model}", inputs: [in]}}
"""
WAITING = {  # the model that a pipeline names → what is told of it
    "tiny": "",
    "tiny@champion": "",
    "tiny:99": "waits for tiny:99: model tiny has no such version or alias",
    "tiny@nope": "waits for tiny@nope: model tiny has no such version or alias",
    "empty": "waits for the first version of model empty",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with a pipeline for each of these."""
    with controller(tmp_path_factory.mktemp("views")) as site, Client(site.url, site.token) as client:
        times(site.home / "tiny.onnx", 2.0)
        pipelines = [PIPELINE.format(name=f"p{number}", model=model) for number, model in enumerate(WAITING)]
        fleet: Path = site.home / "fleet.yaml"
        fleet.write_text(DOCUMENTS + "".join(pipelines))
        client.apply(read_fleet(fleet).fleet(client.upload))
        yield site


def test_a_pipeline_tells_what_it_waits_for(site: Site) -> None:
    """In its own words, in the list and by itself: a model without a version is another matter than a wrong name."""
    listed = {pipeline["spec"]["name"]: pipeline["waits"] for pipeline in site.ask("pipeline", "list")}
    assert listed == {f"p{number}": told for number, told in enumerate(WAITING.values())}
    shown = site.run("pipeline", "show", "p2").stdout
    assert "for tiny:99: model tiny has no such version or alias" in shown
    assert "waits for tiny:99: model" in site.run("pipeline", "list").stdout
