"""The controller's API for programs in Python: one method for each request."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from schemas.errors import Unreachable, Untrusted
from schemas.fleet import Fleet
from schemas.names import BlobRef
from schemas.runs import RunState
from schemas.views import (
    Applied,
    BrokerView,
    CollectionView,
    DeploymentView,
    EdgeView,
    EnrolledEdge,
    ImportResult,
    JobView,
    LibraryView,
    LogPage,
    ModelView,
    Page,
    PipelineView,
    Reject,
    RekeyedEdge,
    RunView,
    SecretView,
)
from tidemill.exchange import Exchange, Query

View = TypeVar("View", bound=BaseModel)
Row = dict[str, Any]


class Client:
    """A connection to one controller; use it as a context manager.

    Every method raises a ``TidemillError`` of the class that fits: ``Unreachable``, ``Unauthorized``, ``NotFound`` …
    """

    def __init__(self, url: str = "http://127.0.0.1:8420", token: str | None = None) -> None:
        self._exchange = Exchange(url, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._exchange.__exit__()

    def broker(self) -> BrokerView:
        """How a device reaches the broker."""
        return self._one("broker", BrokerView)

    # Edges

    def edges(self) -> list[EdgeView]:
        """Every enrolled edge."""
        return list(self._all("edges", EdgeView))

    def edge(self, name: str) -> EdgeView:
        """One edge."""
        return self._one(_path("edges", name), EdgeView)

    def add_edge(self, name: str, labels: dict[str, str]) -> EnrolledEdge:
        """Enrol an edge; its credentials are told this once."""
        document = {"name": name, "labels": labels}
        return _read(EnrolledEdge, self._exchange.send("POST", "edges", document=document))

    def rekey_edge(self, name: str) -> RekeyedEdge:
        """Give an edge a new key for secrets; its private half is told this once."""
        return _read(RekeyedEdge, self._exchange.send("POST", _path("edges", name, "rekey")))

    # Secrets

    def secrets(self) -> list[SecretView]:
        """Every secret, without its value."""
        return list(self._all("secrets", SecretView))

    def set_secret(self, name: str, value: bytes) -> SecretView:
        """Set a secret, or change it; attempts that start from now on get the new value."""
        return _read(SecretView, self._exchange.send("PUT", _path("secrets", name), content=value))

    def delete_secret(self, name: str) -> None:
        """Forget a secret that no job uses."""
        self._exchange.send("DELETE", _path("secrets", name))

    # Collections

    def collections(self) -> list[CollectionView]:
        """Every collection."""
        return list(self._all("collections", CollectionView))

    def collection(self, name: str) -> CollectionView:
        """One collection."""
        return self._one(_path("collections", name), CollectionView)

    def rows(self, collection: str, *, after: int = 0, limit: int = 100) -> list[Row]:
        """At most ``limit`` rows whose position is beyond ``after``, oldest first."""
        page = self._exchange.get(_path("collections", collection, "rows"), {"after": after, "limit": limit})
        return list(_read(Page[Row], page).items)

    def rejects(self, collection: str) -> list[Reject]:
        """What did not fit the collection, as far as it is kept."""
        return list(self._all(_path("collections", collection, "rejects"), Reject))

    def import_rows(self, collection: str, content: bytes | IO[bytes], content_type: str) -> ImportResult:
        """Add rows from JSON (``application/json``), NDJSON (``application/x-ndjson``) or CSV (``text/csv``)."""
        path = _path("collections", collection, "rows")
        return _read(ImportResult, self._exchange.send("POST", path, content=content, content_type=content_type))

    # Fleet and blobs

    def apply(self, fleet: Fleet, *, dry_run: bool = False) -> Applied:
        """Make what the documents say so, or only tell what would change."""
        document = fleet.model_dump(mode="json", exclude_unset=True)
        return _read(Applied, self._exchange.send("POST", "fleet", query={"dry_run": dry_run}, document=document))

    def upload(self, path: Path) -> BlobRef:
        """Give the controller a file's bytes, unless it holds them already."""
        ref = blob_ref(path)
        if self._exchange.holds(_path("blobs", ref.digest)):
            return ref
        with path.open("rb") as file:
            held = _read(BlobRef, self._exchange.send("POST", "blobs", content=file))
        if held != ref:
            raise Untrusted(
                f"{path} changed while it was uploaded, or on its way: {held.digest} instead of {ref.digest}"
            )
        return ref

    # Jobs and runs

    def jobs(self) -> list[JobView]:
        """Every job."""
        return list(self._all("jobs", JobView))

    def job(self, name: str) -> JobView:
        """One job."""
        return self._one(_path("jobs", name), JobView)

    def run_job(self, name: str) -> RunView:
        """Train now: queue a run of the job."""
        return _read(RunView, self._exchange.send("POST", _path("jobs", name, "runs")))

    def pause_job(self, name: str) -> JobView:
        """Let the schedule rest."""
        return _read(JobView, self._exchange.send("POST", _path("jobs", name, "pause")))

    def resume_job(self, name: str) -> JobView:
        """Let the schedule go on."""
        return _read(JobView, self._exchange.send("POST", _path("jobs", name, "resume")))

    def runs(self, *, job: str | None = None, state: RunState | None = None, limit: int = 100) -> list[RunView]:
        """The newest ``limit`` runs, newest first."""
        found: list[RunView] = []
        for run in self._all("runs", RunView, {"job": job, "state": state, "limit": min(limit, 100)}):
            if len(found) == limit:
                break
            found.append(run)
        return found

    def run(self, run_id: UUID) -> RunView:
        """One run."""
        return self._one(_path("runs", str(run_id)), RunView)

    def cancel_run(self, run_id: UUID) -> RunView:
        """Ask a run to stop."""
        return _read(RunView, self._exchange.send("POST", _path("runs", str(run_id), "cancel")))

    def logs(self, run_id: UUID, *, from_line: int = 0, wait_s: float = 0.0) -> LogPage:
        """Lines of the current attempt; when there are none yet, wait up to ``wait_s`` for some."""
        query = {"from_line": from_line, "wait_s": wait_s}
        return _read(LogPage, self._exchange.get(_path("runs", str(run_id), "logs"), query, wait_s=wait_s))

    # Models

    def models(self) -> list[ModelView]:
        """Every model."""
        return list(self._all("models", ModelView))

    def model(self, name: str) -> ModelView:
        """One model with its versions."""
        return self._one(_path("models", name), ModelView)

    def move_alias(self, model: str, alias: str, version: int, reason: str) -> ModelView:
        """Let an alias stand for another version."""
        document = {"version": version, "reason": reason}
        return _read(ModelView, self._exchange.send("PUT", _path("models", model, "aliases", alias), document=document))

    def download_file(self, model: str, version: int, path: str, ref: BlobRef, to: Path) -> None:
        """Write one file of a model version, checked by its digest; ``to`` is never half there."""
        source = f"{_path('models', model, 'versions', str(version), 'files')}/{quote(path)}"
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(to.name + ".part")
        try:
            digest = hashlib.sha256()
            with self._exchange.download(source) as pieces, part.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
            if f"sha256:{digest.hexdigest()}" != ref.digest:
                raise Untrusted(f"{path} of {model}:{version} came damaged: its digest is not {ref.digest}")
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    # Serving

    def pipelines(self) -> list[PipelineView]:
        """Every pipeline's newest version."""
        return list(self._all("pipelines", PipelineView))

    def pipeline(self, name: str) -> PipelineView:
        """One pipeline's newest version."""
        return self._one(_path("pipelines", name), PipelineView)

    def libraries(self) -> list[LibraryView]:
        """Every library's newest version."""
        return list(self._all("libraries", LibraryView))

    def deployments(self) -> list[DeploymentView]:
        """Every deployment, and whether what it wishes is so."""
        return list(self._all("deployments", DeploymentView))

    def _one(self, path: str, view: type[View]) -> View:
        return _read(view, self._exchange.get(path))

    def _all(self, path: str, view: type[View], query: Query | None = None) -> Iterator[View]:
        cursor: str | None = None
        while True:
            page = _read(Page[view], self._exchange.get(path, {**(query or {}), "cursor": cursor}))  # type: ignore[valid-type]
            yield from page.items
            if page.next is None:
                return
            cursor = page.next


def blob_ref(path: Path) -> BlobRef:
    """The name that a file's bytes have as a blob."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return BlobRef(digest=f"sha256:{digest.hexdigest()}", size_bytes=file.tell())


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _read(view: type[View], answer: httpx.Response) -> View:
    try:
        return view.model_validate_json(answer.content)
    except ValidationError as error:
        raise Unreachable(f"{answer.request.url} answered, but not as a controller does: {error}") from error
