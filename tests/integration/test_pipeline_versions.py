"""Versions of pipelines, what is different between them, and taking them away, from the command line and over HTTP."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from schemas.errors import NotFound
from schemas.fleet import AppliedChange
from tests.integration.api import problem
from tests.integration.site import Site, controller
from tidemill.client import Client
from tidemill.fleet_files import read_fleet

PIPELINE = """\
kind: Pipeline
name: NAME
nodes:
  - {id: in, type: mqtt_sub, topic: NAME/read}
  - {id: out, type: mqtt_pub, topic: NAME/write, inputs: [in]}
"""
DEPLOYMENT = "---\nkind: Deployment\nname: NAME\npipeline: NAME\nedges: [press-1]\n"


def changed(fleet: str) -> str:
    """The same pipeline with another parameter, another input and another node."""
    return fleet.replace("read}", "read, qos: 0}").replace(
        "inputs: [in]}", "inputs: [aside]}\n  - {id: aside, type: dead_letter, reason: no, inputs: [in]}"
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with an edge whose agent does not run."""
    with controller(tmp_path_factory.mktemp("versions")) as site:
        assert site.run("edge", "add", "press-1").returncode == 0
        yield site


def apply(site: Site, fleet: str, *, by: str = "a test") -> list[AppliedChange]:
    """Apply documents without the command, which takes its time to start."""
    file = site.home / "fleet.yaml"
    file.write_text(fleet)
    with Client(site.url, site.token) as client:
        return list(client.apply(read_fleet(file).fleet(client.upload), by=by).changes)


@pytest.fixture
def name(site: Site, request: pytest.FixtureRequest) -> str:
    """A pipeline of two versions."""
    name = str(request.node.name).removeprefix("test_")
    for fleet in (PIPELINE, changed(PIPELINE)):
        apply(site, fleet.replace("NAME", name))
    return name


def get(site: Site, path: str) -> httpx.Response:
    """What the API answers."""
    return httpx.get(f"{site.url}/api/v1/{path}", headers={"Authorization": f"Bearer {site.token}"})


def test_history(site: Site, name: str) -> None:
    """Each version is told with what made it and what it changed; the same document again makes none."""
    assert "unchanged" in site.apply(changed(PIPELINE).replace("NAME", name)).stdout
    assert "created" not in site.apply(PIPELINE.replace("NAME", name)).stdout
    versions = site.ask("pipeline", "history", name)
    assert [(version["version"], version["made_by"]) for version in versions] == [
        (3, "tidemill apply -f fleet.yaml"),
        (2, "a test"),
        (1, "a test"),
    ]
    assert "+aside; in: qos; out: inputs" in site.run("pipeline", "history", name).stdout


def test_show_version(site: Site, name: str) -> None:
    """An older version is what it was; one that is not there is not found, and the newest is told."""
    shown = site.ask("pipeline", "show", name, "--version", "1")
    assert [node["id"] for node in shown["spec"]["nodes"]] == ["in", "out"]
    done = site.run("pipeline", "show", name, "--version", "3")
    assert done.returncode == 3
    assert "no version 3; its newest is 2" in done.stderr


def test_diff(site: Site, name: str) -> None:
    """Nodes, parameters and inputs are told one by one; for programs as JSON."""
    done = site.run("pipeline", "diff", name, "1", "2")
    assert done.stdout.splitlines() == [
        "+ node aside: dead_letter, inputs [in], reason no",
        "~ node in: qos: 0 added",
        "~ node out: inputs: [in] → [aside]",
    ]
    assert "are the same" in site.run("pipeline", "diff", name, "2", "2").stderr
    told = site.ask("pipeline", "diff", name, "2", "1")
    assert (told["old"], told["new"], told["changes"]["removed"][0]["id"]) == (2, 1, "aside")


def test_pause(site: Site, name: str) -> None:
    """Pausing and going on are versions like others; saying it twice makes none."""
    for said in (f"{name} is paused: version 3", f"{name} is paused already"):
        assert said in site.run("pipeline", "pause", name).stderr
    assert site.ask("pipeline", "show", name)["spec"]["paused"] is True
    assert f"{name} goes on: version 4" in site.run("pipeline", "resume", name).stderr
    assert site.run("pipeline", "diff", name, "2", "4").stdout == ""
    assert site.ask("pipeline", "history", name)[0]["made_by"] == "tidemill pipeline resume"


def test_export(site: Site, name: str) -> None:
    """What is exported is applied as what it is: nothing is changed by it, and an old version is brought back."""
    assert [change.action for change in apply(site, site.run("pipeline", "export", name).stdout)] == ["unchanged"]
    assert site.run("pipeline", "export", name, "--version", "1", "--output", "old.yaml").returncode == 0
    assert [change.version for change in apply(site, (site.home / "old.yaml").read_text())] == [3]
    changes = get(site, f"pipelines/{name}/versions/3/changes?since=1").json()["changes"]
    assert not any(changes.values())


def test_delete(site: Site, name: str) -> None:
    """A pipeline that is deployed is not deleted unawares; what is told is what is done, and nothing is left of it.

    (defect 40)
    """
    apply(site, (changed(PIPELINE) + DEPLOYMENT).replace("NAME", name))
    refused = site.run("pipeline", "delete", name)
    assert refused.returncode == 4
    assert f"deployment {name} runs it on press-1" in refused.stderr
    assert len(get(site, f"pipelines/{name}/versions").json()["items"]) == 2
    done = site.run("pipeline", "delete", name, "--undeploy")
    assert done.stderr.splitlines() == [
        f"pipeline {name} is deleted with its 2 versions",
        f"with it the deployments {name}",
        "these edges end it, after the messages that they have in hand: press-1",
    ]
    deployments = get(site, "deployments").json()["items"]
    assert name not in [deployment["spec"]["name"] for deployment in deployments]
    assert get(site, f"pipelines/{name}").status_code == 404


def test_delete_deployment(site: Site, name: str) -> None:
    """An edge lets go of a pipeline with the last deployment that wants it there, and the pipeline stays."""
    fleet = changed(PIPELINE) + DEPLOYMENT + DEPLOYMENT.replace("name: NAME", "name: NAME2")
    apply(site, fleet.replace("NAME", name))
    assert "no edge had it alone" in site.run("deployment", "delete", name).stderr
    with Client(site.url, site.token) as client:
        assert client.delete_deployment(f"{name}2").edges == ("press-1",)
        with pytest.raises(NotFound):
            client.delete_deployment(f"{name}2")
        assert client.delete_pipeline(name).model_dump() == {
            "deployments": (),
            "edges": (),
            "versions": 2,
            "dead_letters": 0,
        }


def test_versions_over_http(site: Site, name: str) -> None:
    """Programs get the same; a version that no database could hold is no version."""
    versions: list[dict[str, Any]] = get(site, f"pipelines/{name}/versions").json()["items"]
    assert versions[1] == get(site, f"pipelines/{name}/versions/1").json()
    assert problem(get(site, f"pipelines/{name}/versions/3/changes?since=1")).code == "not_found"
    assert problem(get(site, f"pipelines/{name}/versions/{10**20}")).status == 422


def test_node_types(site: Site) -> None:
    """The controller tells the node types that it knows, with the schema that a form is made of."""
    types = {found["name"]: found for found in get(site, "node-types").json()["items"]}
    assert types["mqtt_sub"]["json_schema"]["properties"]["topic"]["description"]
    assert "mqtt_sub" in site.run("pipeline", "node-types").stdout
    assert "correlate_with" in site.run("pipeline", "node-types", "mqtt_sub").stdout
