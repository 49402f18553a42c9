"""A controller's API as a program in any language sees it: requests, and the whole of what it tells."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from schemas.views import Problem
from tests.integration.site import controller

LISTS = ("edges", "collections", "jobs", "runs", "models", "libraries", "pipelines", "deployments")
Document = dict[str, Any]


class Api:
    """Requests to one controller."""

    def __init__(self, url: str, token: str, data_dir: Path) -> None:
        self.url, self.token, self.data_dir = url, token, data_dir
        self.http = httpx.Client(base_url=f"{url}/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    @classmethod
    @contextmanager
    def running(cls, home: Path, settings: str = "") -> "Iterator[Api]":
        """A controller that has enrolled one edge, whose agent does not run."""
        with controller(home, more=settings) as site:
            api = cls(site.url, site.token, home / "controller-data")
            with api.http:
                assert api.http.post("edges", json={"name": "press-1"}).status_code == 201
                yield api

    def state(self) -> dict[str, Any]:
        """Everything that the API lists, but for the generations of manifests: these follow a moment later."""
        lists = {name: self.http.get(name).raise_for_status().json()["items"] for name in LISTS}
        for edge in lists["edges"]:
            del edge["generation"]
        return lists

    def file(self, path: str, content: bytes) -> Document:
        """Upload a file; returns how a document names it."""
        ref = self.http.post("blobs", content=content).raise_for_status().json()
        return {"path": path, "blob": ref}

    def apply(self, *documents: Document, dry_run: bool = False) -> httpx.Response:
        """Send documents."""
        body = json.dumps({"documents": documents})
        headers = {"Content-Type": "application/json"}
        return self.http.post("fleet", content=body, headers=headers, params={"dry_run": dry_run})

    def actions(self, *documents: Document, dry_run: bool = False) -> list[str]:
        """Apply documents that are right; returns what became of each."""
        answer = self.apply(*documents, dry_run=dry_run)
        assert answer.status_code == 200, answer.text
        return [change["action"] for change in answer.json()["changes"]]


def problem(answer: httpx.Response) -> Problem:
    """The error that an answer is: always a problem document, and never a stack trace."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert "Traceback" not in answer.text
    told = Problem.model_validate_json(answer.content)
    assert told.status == answer.status_code
    return told
