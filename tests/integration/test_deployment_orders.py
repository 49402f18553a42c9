"""What people order of rollouts, by the API and by the command, with a real controller."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import select_wait
from tests.integration.api import Api, Document, problem
from tests.integration.site import Site

PIPELINE: Document = {
    "kind": "Pipeline",
    "name": "scoring",
    "nodes": [
        {"id": "in", "type": "mqtt_sub", "topic": "plant/ask"},
        {"id": "out", "type": "mqtt_pub", "topic": "plant/answer", "inputs": ["in"]},
    ],
}


def deployed(**rollout: object) -> Document:
    """A deployment to the one edge."""
    return {"kind": "Deployment", "name": "here", "edges": ["press-1"], "pipeline": "scoring", "rollout": rollout}


@pytest.fixture(name="api")
def _api(tmp_path: Path) -> Iterator[Api]:
    with Api.running(tmp_path) as api:
        assert api.actions(PIPELINE, deployed(strategy="canary", approve="before")) == ["created", "created"]
        yield api


def order(api: Api, what: str, tag: str | None = None, **document: object) -> httpx.Response:
    """Ask for something to be done about the deployment."""
    headers = {} if tag is None else {"If-Match": tag}
    return api.http.post(f"deployments/here/{what}", json=document, headers=headers)


def until_rollout(api: Api, number: int) -> httpx.Response:
    """The deployment, once it has this rollout; the controller looks by itself soon after documents were applied."""
    deadline = time.monotonic() + 60
    while True:
        answer = api.http.get("deployments/here").raise_for_status()
        rollout = answer.json()["rollout"]
        if rollout is not None and rollout["number"] >= number:
            return answer
        assert time.monotonic() < deadline, answer.text
        select_wait(0.05)


def test_who_saw_an_earlier_state_is_refused(api: Api) -> None:
    """The entity tag is that of the newest rollout as it is; an order with another one changes nothing, and says so."""
    seen = until_rollout(api, 1)
    tag = seen.headers["ETag"]
    assert seen.json()["rollout"]["state"] == "waiting"
    assert problem(order(api, "approve", "soon")).status == 422
    approved = order(api, "approve", tag, reason="it looks fine").raise_for_status().json()
    assert approved["rollout"]["state"] == "done"  # its one edge is away and takes it when it is back
    assert approved["edges"]["press-1"]["state"] == "later"
    before = api.http.get("deployments/here").json()
    for what in ("approve", "pause", "resume", "abort", "rollback"):
        assert problem(order(api, what, tag)).status == 412
    assert api.http.get("deployments/here").json() == before


def test_what_makes_no_sense_is_refused_with_what_to_do(api: Api) -> None:
    """Each order names the state that is in its way; a deployment or a rollout that is not there is not found."""
    until_rollout(api, 1)
    assert "is not under way: it is waiting" in problem(order(api, "pause")).detail
    assert "is not paused: it is waiting" in problem(order(api, "resume")).detail
    assert "has nothing to go back to" in problem(order(api, "rollback")).detail
    assert problem(order(api, "rollback", to=9)).status == 404
    assert problem(order(api, "abort", because="typo")).status == 422
    assert problem(api.http.post("deployments/there/abort", json={})).status == 404
    assert order(api, "abort").json()["rollout"]["state"] == "aborted"
    assert "tidemill deployment rollback here" in problem(order(api, "abort")).detail


def test_a_shadow_of_a_model_that_is_not_there_is_refused(api: Api) -> None:
    """With its place, and nothing is changed."""
    before = api.http.get("deployments/here").json()["spec"]
    refused = problem(api.apply(deployed() | {"shadow": {"model": "iris", "with": "irs@candidate"}}))
    assert [(error.where.split(".", 1)[1], error.message) for error in refused.errors] == [
        ("shadow.with", "here: there is no model 'irs@candidate', and no job makes one")
    ]
    assert api.http.get("deployments/here").json()["spec"] == before


def test_the_command_means_the_rollout_that_it_names(api: Api, tmp_path: Path) -> None:
    """With `--rollout` the status is 4 when another one came meanwhile; shown and listed is what is."""
    until_rollout(api, 1)
    site = Site(tmp_path, api.url, api.token)
    nodes = [*PIPELINE["nodes"], {"id": "also", "type": "mqtt_pub", "topic": "plant/too", "inputs": ["in"]}]
    assert api.actions(PIPELINE | {"nodes": nodes}) == ["updated"]
    until_rollout(api, 2)
    refused = site.run("deployment", "approve", "here", "--rollout", "1")
    assert refused.returncode == 4
    assert "the newest rollout of here is 2, not 1" in refused.stderr
    approved = site.ask("deployment", "approve", "here", "--rollout", "2", "--reason", "it looks fine")
    assert (approved["rollout"]["number"], approved["rollout"]["state"]) == (2, "done")
    states = [(rollout["number"], rollout["state"]) for rollout in site.ask("deployment", "history", "here")]
    assert states == [(2, "done"), (1, "superseded")]
    shown = site.run("deployment", "show", "here").stdout
    assert "press-1" in shown
    assert "later: it is offline" in shown
