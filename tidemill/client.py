"""The controller's API for programs in Python: one method for each request."""

import hashlib
from pathlib import Path
from typing import IO, Any

from schemas.errors import Untrusted
from schemas.fleet import Fleet
from schemas.names import BlobRef
from schemas.views import (
    Applied,
    BrokerView,
    CollectionView,
    ImportResult,
    Page,
    Reject,
    SecretView,
)
from tidemill.asking import path_of, read_as
from tidemill.deployment_requests import DeploymentRequests
from tidemill.edge_requests import EdgeRequests
from tidemill.exchange import Query
from tidemill.job_requests import JobRequests
from tidemill.letter_requests import LetterRequests
from tidemill.model_requests import ModelRequests
from tidemill.pipeline_requests import PipelineRequests
from tidemill.timeline_requests import TimelineRequests

Row = dict[str, Any]

_BYTES = {"Content-Type": "application/octet-stream"}


class Client(
    DeploymentRequests,
    EdgeRequests,
    JobRequests,
    LetterRequests,
    ModelRequests,
    PipelineRequests,
    TimelineRequests,
):
    """A connection to one controller; use it as a context manager.

    Every method raises a ``TidemillError`` of the class that fits: ``Unreachable``, ``Unauthorized``, ``NotFound`` …
    """

    def broker(self) -> BrokerView:
        """How a device reaches the broker."""
        return self._one("broker", BrokerView)

    # Secrets

    def secrets(self) -> list[SecretView]:
        """Every secret, without its value."""
        return list(self._all("secrets", SecretView))

    def set_secret(self, name: str, value: bytes) -> SecretView:
        """Set a secret, or change it; attempts that start from now on get the new value."""
        return read_as(SecretView, self._exchange.send("PUT", path_of("secrets", name), content=value))

    def delete_secret(self, name: str) -> None:
        """Forget a secret that no job uses."""
        self._exchange.send("DELETE", path_of("secrets", name))

    # Collections

    def collections(self) -> list[CollectionView]:
        """Every collection."""
        return list(self._all("collections", CollectionView))

    def collection(self, name: str) -> CollectionView:
        """One collection."""
        return self._one(path_of("collections", name), CollectionView)

    def rows(self, collection: str, *, after: int = 0, limit: int = 100) -> list[Row]:
        """At most ``limit`` rows whose position is beyond ``after``, oldest first."""
        page = self._exchange.get(path_of("collections", collection, "rows"), {"after": after, "limit": limit})
        return list(read_as(Page[Row], page).items)

    def rejects(self, collection: str) -> list[Reject]:
        """What did not fit the collection, as far as it is kept."""
        return list(self._all(path_of("collections", collection, "rejects"), Reject))

    def import_rows(self, collection: str, content: bytes | IO[bytes], content_type: str) -> ImportResult:
        """Add rows from JSON (``application/json``), NDJSON (``application/x-ndjson``) or CSV (``text/csv``)."""
        path = path_of("collections", collection, "rows")
        return read_as(
            ImportResult, self._exchange.send("POST", path, content=content, headers={"Content-Type": content_type})
        )

    # Fleet and blobs

    def apply(self, fleet: Fleet, *, dry_run: bool = False, by: str = "") -> Applied:
        """Make what the documents say so, or only tell what would change.

        ``by`` is kept with the versions of pipelines that come of it, such as ``tidemill apply -f fleet.yaml``.
        """
        document = fleet.model_dump(mode="json", exclude_unset=True)
        query: Query = {"dry_run": dry_run, "by": by[:200]}
        return read_as(Applied, self._exchange.send("POST", "fleet", query=query, document=document))

    def upload(self, path: Path) -> BlobRef:
        """Give the controller a file's bytes, unless it holds them already."""
        ref = blob_ref(path)
        if self._exchange.holds(path_of("blobs", ref.digest)):
            return ref
        with path.open("rb") as file:
            held = read_as(BlobRef, self._exchange.send("POST", "blobs", content=file, headers=_BYTES))
        if held != ref:
            raise Untrusted(
                f"{path} changed while it was uploaded, or on its way: {held.digest} instead of {ref.digest}"
            )
        return ref

    def download_blob(self, ref: BlobRef, to: Path) -> None:
        """Fetch a file by its digest, which is checked."""
        self._save(path_of("blobs", ref.digest), ref, to)


def blob_ref(path: Path) -> BlobRef:
    """The name that a file's bytes have as a blob."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return BlobRef(digest=f"sha256:{digest.hexdigest()}", size_bytes=file.tell())
