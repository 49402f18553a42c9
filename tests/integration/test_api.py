"""The HTTP API in the hands of strangers: who may use it, how much it takes, what it says of what makes no sense."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.api import Api, problem
from tests.onnx_graphs import times

MEBIBYTE = 1024 * 1024
OPEN = {"/healthz", "/readyz", "/metrics"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A controller that takes uploads of a MiB, with a collection, a model version, and a job that nobody runs."""
    with Api.running(tmp_path_factory.mktemp("api"), settings="upload_mb = 1\n") as running:
        script = running.file("train.py", b"print('training')")
        assert running.actions(
            {"kind": "Collection", "name": "readings", "columns": {"value": "real"}},
            {"kind": "Job", "name": "retrain", "model": "tiny", "edge": "press-1", "scripts": [script]},
        ) == ["created", "created"]
        yield running


def operations(api: Api) -> list[tuple[str, str]]:
    """Every method and path that the API's own description names."""
    paths = httpx.get(f"{api.url}/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def filled(path: str, value: str = "x") -> str:
    """A path with something in place of each parameter."""
    return re.sub(r"\{[^}]+\}", value, path)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer tm_wrong", "Basic dG06dG0=", "tm_wrong"])
def test_every_route_needs_the_token(api: Api, authorization: str | None) -> None:
    """Without a good token, each route but those of probes answers 401, whatever else the request holds."""
    headers = {} if authorization is None else {"Authorization": authorization}
    asked = operations(api)
    assert len(asked) > 30
    for method, path in asked:
        answer = httpx.request(method, api.url + filled(path), headers={**headers, **JSON}, content=b"{broken")
        if path in OPEN:
            assert answer.status_code == 200, path
        else:
            assert answer.status_code == 401, f"{method} {path}"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert method == "HEAD" or problem(answer).code == "unauthorized"


def test_routes_are_not_told_to_strangers(api: Api) -> None:
    """A path that does not exist is 401 without a token, and 404 with one."""
    assert httpx.get(f"{api.url}/api/v1/treasures").status_code == 401
    assert problem(api.http.get("treasures")).code == "not_found"


NOT_FOUND = [
    ("GET", "edges/nobody", "nobody"),
    ("POST", "edges/nobody/rekey", "nobody"),
    ("DELETE", "secrets/none", "none"),
    ("GET", "collections/nothing", "nothing"),
    ("GET", "collections/nothing/rows", "nothing"),
    ("GET", "collections/nothing/rejects", "nothing"),
    ("GET", "jobs/none", "none"),
    ("POST", "jobs/none/runs", "none"),
    ("POST", "jobs/none/pause", "none"),
    ("POST", "jobs/none/resume", "none"),
    ("GET", f"runs/{uuid4()}", "there is no run"),
    ("GET", f"runs/{uuid4()}/logs", "there is no run"),
    ("GET", f"runs/{uuid4()}/events", "there is no run"),
    ("GET", f"runs/{uuid4()}/log.txt", "there is no run"),
    ("GET", f"runs/{uuid4()}/progress", "there is no run"),
    ("GET", f"runs/{uuid4()}/files", "there is no run"),
    ("POST", f"runs/{uuid4()}/retry", "there is no run"),
    ("POST", f"runs/{uuid4()}/reproduce", "there is no run"),
    ("DELETE", "jobs/none", "none"),
    ("POST", f"runs/{uuid4()}/cancel", "there is no run"),
    ("GET", f"runs?cursor={uuid4()}", "there is no run"),
    ("GET", "models/great", "great"),
    ("GET", "models/tiny/versions/7/files/model.onnx", "no version 7"),
    ("GET", "models/tiny/versions/7", "no version 7"),
    ("GET", "models/tiny/versions/7/lineage", "no version 7"),
    ("GET", "models/tiny/versions/7/curves", "no version 7"),
    ("DELETE", "models/tiny/versions/7", "no version 7"),
    ("GET", "models/great/diff?old=1&new=7", "great"),
    ("GET", "models/tiny/aliases/best", "no alias 'best'"),
    ("DELETE", "models/tiny/aliases/best", "no alias 'best'"),
    ("GET", "models/great/history", "great"),
    ("GET", "models/great/metrics", "great"),
    ("DELETE", "models/great", "great"),
    ("GET", "pipelines/none", "none"),
    ("GET", f"blobs/sha256:{'0' * 64}", "sha256:0"),
]


@pytest.mark.parametrize(("method", "path", "said"), NOT_FOUND)
def test_what_is_not_there_is_not_found(api: Api, method: str, path: str, said: str) -> None:
    """404 names what was asked for."""
    told = problem(api.http.request(method, path))
    assert (told.status, told.code) == (404, "not_found")
    assert said in told.detail


SENSELESS: list[tuple[str, str, Any, str, str]] = [
    ("GET", "runs?limit=0", None, "limit", "greater than or equal to 1"),
    ("GET", "runs?limit=1001", None, "limit", "less than or equal to 1000"),
    ("GET", "runs?limit=many", None, "limit", "valid integer"),
    ("GET", "runs?cursor=17", None, "cursor", "valid UUID"),
    ("GET", "runs?state=tired", None, "state", "'queued'"),
    ("GET", "runs/17", None, "run_id", "valid UUID"),
    ("GET", f"runs/{uuid4()}/logs?wait_s=nan", None, "wait_s", "less than or equal to 30"),
    ("GET", f"runs/{uuid4()}/logs?wait_s=1e9", None, "wait_s", "less than or equal to 30"),
    ("GET", "collections/readings/rows?after=-1", None, "after", "greater than or equal to 0"),
    ("GET", f"collections/readings/rows?after={2**64}", None, "after", "less than or equal"),
    ("GET", "blobs/sha256:short", None, "digest", "does not fit"),
    ("GET", f"models/tiny/versions/{2**70}/files/model.onnx", None, "version", "less than or equal"),
    ("POST", "edges", {"name": "Press 1"}, "name", "does not fit"),
    ("POST", "edges", {"name": "press-2", "label": {}}, "label", "no such key"),
    ("POST", "edges", {"labels": {}}, "name", "is needed"),
    ("POST", "fleet", {}, "documents", "is needed"),
    ("POST", "fleet", [], "body", "is no mapping of keys to values"),
    ("PUT", "models/tiny/aliases/best", {"version": 0}, "version", "greater than or equal to 1"),
    ("PUT", "models/tiny/aliases/best", {"version": 2**70}, "version", "less than or equal"),
    ("PATCH", "models/tiny/versions/1", {"tags": {"a b": "c"}}, "tags.a b", "does not fit"),
    ("PATCH", "models/tiny/versions/1", {"notes": "c"}, "notes", "no such key"),
    ("PATCH", "models/tiny", {}, "description", "is needed"),
    ("GET", "models/tiny/diff?old=1", None, "new", "is needed"),
    ("GET", "models/tiny/history?cursor=x", None, "cursor", "valid integer"),
    ("PUT", "models/tiny/aliases/a%20b", {"version": 1}, "alias", "does not fit"),
]


@pytest.mark.parametrize(("method", "path", "document", "where", "said"), SENSELESS)
def test_what_makes_no_sense_has_its_place(
    api: Api, method: str, path: str, document: object, where: str, said: str
) -> None:
    """422 names the parameter or the key, and what it should be."""
    before = api.state()
    told = problem(api.http.request(method, path, json=document))
    assert (told.status, told.code) == (422, "bad_input")
    assert [error.where for error in told.errors] == [where]
    assert said in told.errors[0].message
    assert api.state() == before


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"", JSON, 422, "is needed"),
        (b'{"documents": [', JSON, 422, "not JSON: Expecting value (character 15)"),
        (b'{"documents": []}', {"Content-Type": "text/plain"}, 422, "Content-Type: application/json"),
        (b'{"documents": []}', {}, 422, "Content-Type: application/json"),
        (b'{"\xff": 1}', JSON, 400, "parsing the body"),
        (b"[" * 100_000, JSON, 400, "parsing the body"),
        (b'{"documents": [{"kind": "Model", "name": "\\ud800"}]}', JSON, 422, "documents[0].name"),
    ],
)
def test_a_body_that_is_no_document_is_refused(
    api: Api, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    """What cannot be read is told as such, with the place where reading ended."""
    told = problem(api.http.post("fleet", content=body, headers=headers))
    assert told.status == status
    assert said in told.detail


def in_pieces(size_bytes: int) -> Iterator[bytes]:
    """A body whose length nobody announces."""
    for _ in range(size_bytes // 4096 + 1):
        yield bytes(4096)


@pytest.mark.parametrize("body", [bytes, in_pieces], ids=["with its length", "without"])
@pytest.mark.parametrize("path", ["blobs", "collections/readings/rows"])
def test_too_large_an_upload_leaves_nothing(api: Api, path: str, body: Callable[[int], Any]) -> None:
    """413, and neither a blob nor a row nor a temporary file is left of it."""
    before = api.state(), files(api.data_dir)
    headers = {"Content-Type": "text/csv"}
    told = problem(api.http.post(path, content=body(2 * MEBIBYTE), headers=headers))
    assert (told.status, told.code) == (413, "too_large")
    assert f"more than {MEBIBYTE} bytes, which is the most that `upload_mb`" in told.detail
    assert (api.state(), files(api.data_dir)) == before


@pytest.mark.parametrize("body", [bytes, in_pieces], ids=["with its length", "without"])
def test_too_large_a_document_is_not_read(api: Api, body: Callable[[int], Any]) -> None:
    """A document is held in memory whole, so it is bounded whatever uploads may be."""
    told = problem(api.http.post("fleet", content=body(17 * MEBIBYTE), headers=JSON))
    assert (told.status, told.code) == (413, "too_large")


def files(folder: Path) -> set[str]:
    """The names of all files below a folder, but for the databases' own."""
    return {str(path) for path in folder.rglob("*") if path.is_file() and ".db" not in path.name}


def test_an_upload_that_breaks_off_leaves_nothing(api: Api) -> None:
    """A sender that goes away in the middle leaves no half blob."""
    before = files(api.data_dir)

    def broken() -> Iterator[bytes]:
        yield bytes(1000)
        raise ConnectionError("the cable was pulled")

    with pytest.raises(ConnectionError):
        api.http.post("blobs", content=broken())
    assert api.http.get("edges").status_code == 200
    assert files(api.data_dir) == before


@pytest.mark.parametrize(
    "path", ["../../../control.db", "..%2F..%2Fsigning_key.pem", "%2Fetc%2Fpasswd", "model.onnx%00", ""]
)
def test_only_a_version_s_own_files_are_given(api: Api, tmp_path: Path, path: str) -> None:
    """No path, however it is written, leads out of the version's files."""
    content = times(tmp_path / "m.onnx", 3.0).read_bytes()
    api.actions({"kind": "Model", "name": "served", "file": api.file("m.onnx", content)})
    answer = api.http.get("models/served/versions/1/files/model.onnx")
    assert answer.content == content
    # Not through httpx's own URL joining, which would take the dots out.
    request = api.http.build_request("GET", "models")
    request.url = httpx.URL(f"{api.url}/").copy_with(raw_path=f"/api/v1/models/served/versions/1/files/{path}".encode())
    assert problem(api.http.send(request)).status == 404


def test_an_alias_moves_to_versions_that_exist_alone(api: Api) -> None:
    """An alias of a version that does not exist is refused, and none is made."""
    told = problem(api.http.put("models/tiny/aliases/champion", json={"version": 4}))
    assert (told.status, told.detail) == (404, "model 'tiny' has no version 4")
    assert api.http.get("models/tiny").json()["aliases"] == []


@pytest.mark.parametrize("name", ["device", "tidemill-controller", "press-1"])
def test_no_edge_takes_another_account_over(api: Api, name: str) -> None:
    """Names of the broker's own accounts, and of edges that there are, are taken."""
    told = problem(api.http.post("edges", json={"name": name}))
    assert (told.status, told.code) == (409, "conflict")
    assert name in told.detail


def test_runs_come_in_pages(api: Api) -> None:
    """Pages of any size give every run once, newest first, and the last one says that it is the last.

    (defect 42)
    """
    made = [api.http.post("jobs/retrain/runs").json()["id"] for _ in range(7)]
    for limit in (1, 3, 7, 8):
        seen: list[str] = []
        query: dict[str, Any] = {"job": "retrain", "limit": limit}
        while True:
            page = api.http.get("runs", params=query).json()
            assert len(page["items"]) <= limit
            seen += [run["id"] for run in page["items"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert seen == made[::-1]


def test_an_import_of_no_known_type_adds_nothing(api: Api) -> None:
    """Rows in a format that nobody reads are refused with the formats that are."""
    answer = api.http.post("collections/readings/rows", content=b"<xml/>", headers={"Content-Type": "text/xml"})
    assert "text/csv" in problem(answer).detail
    assert api.http.get("collections/readings").json()["rows"] == 0


WEIRD = ["%00", "%2e%2e", "'%22;--", "-1", str(2**70), "nan", "a" * 4000, "%ff%fe"]
BODIES = [b"", b"null", b"7", b'"text"', b"[[]]", b'{"documents": [null]}', b'{"name": 1e999, "version": NaN}', b"\x00"]


@pytest.mark.parametrize("weird", WEIRD)
def test_nothing_weird_is_an_internal_error(api: Api, weird: str) -> None:
    """Whatever stands in a path, a query or a body, the answer is never that the controller made a mistake."""
    names = ("after", "cursor", "from_line", "job", "limit", "state", "wait_s", "dry_run")
    for method, path in operations(api):
        if path in OPEN:
            continue
        for number, body in enumerate(BODIES if method in {"POST", "PUT"} else [b"", b""]):
            query = "&".join(f"{name}={weird}" for name in names) if number % 2 else ""
            raw = f"{filled(path, weird)}?{query}".encode()
            request = api.http.build_request(method, "edges", content=body, headers=JSON)
            request.url = httpx.URL(f"{api.url}/").copy_with(raw_path=raw)
            answer = api.http.send(request)
            assert answer.status_code < 500, f"{method} {raw!r} {body!r}: {answer.text}"


def test_probes_and_metrics_are_open(api: Api) -> None:
    """Liveness, readiness with its reasons, and counters, for whoever watches."""
    assert httpx.get(f"{api.url}/healthz").json() == {"status": "alive"}
    checks = httpx.get(f"{api.url}/readyz").json()["items"]
    assert {check["name"]: check["ok"] for check in checks} == {"database": True, "broker": True, "disk": True}
    assert "tidemill_" in httpx.get(f"{api.url}/metrics").text


def test_the_description_says_that_a_token_is_needed(api: Api) -> None:
    """Programs that read the API's description learn of the token from it."""
    description = httpx.get(f"{api.url}/openapi.json").json()
    assert description["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert all("security" in each for each in description["paths"]["/api/v1/jobs"].values())
