"""`model create-pipeline` against a controller: what is asked, what is refused, and what is made."""

from collections.abc import Iterator

import pytest

from tests.integration.site import Site, controller
from tests.onnx_graphs import times
from tidemill.client import Client
from tidemill.fleet_files import read_fleet

MODELS = """\
kind: Model
name: tiny
file: tiny.onnx
---
kind: Model
name: empty
---
kind: Pipeline
name: other
nodes: [{id: in, type: mqtt_sub, topic: a}, {id: out, type: mqtt_pub, topic: b, inputs: [in]}]
---
kind: Deployment
name: elsewhere
pipeline: other
edges: [press-1]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller with an edge, an uploaded model, a model without a version, and a pipeline."""
    with controller(tmp_path_factory.mktemp("create")) as site, Client(site.url, site.token) as client:
        times(site.home / "tiny.onnx", 2.0)
        client.add_edge("press-1", {})
        (site.home / "models.yaml").write_text(MODELS)
        client.apply(read_fleet(site.home / "models.yaml").fleet(client.upload))
        yield site


def test_a_dry_run_prints_the_documents(site: Site) -> None:
    """Nothing is made; what is printed is what `apply` takes, and a person is told what to publish."""
    done = site.run("model", "create-pipeline", "tiny", "--deploy", "press-1", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "messages are lists of the shape [n, 2]" in done.stderr
    assert "publish [[0, 0]] on tiny/read; the answer comes on tiny/write" in done.stderr
    (site.home / "printed.yaml").write_text(done.stdout)
    changes = site.ask("apply", "-f", "printed.yaml", "--dry-run")["changes"]
    assert [(change["kind"], change["action"]) for change in changes] == [
        ("Pipeline", "created"),
        ("Deployment", "created"),
    ]


def test_it_is_made_once(site: Site) -> None:
    """Made again it is unchanged; another one of that name is refused, until it is to be replaced."""
    for action in ("created", "unchanged"):
        made = site.ask("model", "create-pipeline", "tiny:1", "--name", "mine")
        assert [change["action"] for change in made["applied"]["changes"]] == [action]
    refused = site.run("model", "create-pipeline", "tiny:1", "--name", "mine", "--features", "a,b")
    assert refused.returncode == 4
    assert "make this its version 2 with --replace" in refused.stderr
    made = site.ask("model", "create-pipeline", "tiny:1", "--name", "mine", "--features", "a,b", "--replace")
    assert made["proposed"]["spec"]["nodes"][1]["features"] == ["a", "b"]
    (newest, _) = site.ask("pipeline", "history", "mine")
    assert newest["made_by"] == "tidemill model create-pipeline tiny:1"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("nobody",), 3, "nobody"),
        (("empty",), 3, "there is no empty yet"),
        (("tiny@tried",), 3, "there is no tiny@tried yet"),
        (("tiny:x",), 2, "names no model"),
        (("tiny", "--features", "a,b,c"), 2, "takes 2 numbers, and 3 features are named: --features A,B,… or"),
        (("tiny", "--features", "a,,b"), 2, "with commas between them"),
        (("tiny", "--read", "a/#/b"), 2, "'a/#/b' is no MQTT topic filter"),
        (("tiny", "--deploy", "press-9"), 2, "there is no edge 'press-9'"),
        (("tiny", "--name", "elsewhere", "--deploy", "press-1"), 4, "a deployment elsewhere already, of other"),
    ],
)
def test_what_does_not_go_is_said(site: Site, arguments: tuple[str, ...], status: int, message: str) -> None:
    """Each mistake is told in the words of the command, and nothing is made."""
    done = site.run("model", "create-pipeline", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
