"""The requests about models, their versions and their aliases."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

from schemas.archives import SignedArchive
from schemas.errors import NotFound
from schemas.gates import Decision, GateResult
from schemas.model_views import (
    AliasMoveView,
    AliasView,
    BroughtView,
    DeletedModel,
    LineageView,
    MetricsView,
    ModelDifference,
    ModelView,
    VersionView,
)
from schemas.models import ModelVersion, NewVersion
from schemas.names import BlobRef
from schemas.views import Page, ProgressPage
from tidemill.asking import Asking, path_of, read_as
from tidemill.version_tars import pass_on


class ModelRequests(Asking):
    """One method for each request; see ``Client``."""

    def models(self) -> list[ModelView]:
        """Every model."""
        return list(self._all("models", ModelView))

    def model(self, name: str) -> ModelView:
        """One model with its versions."""
        return self._one(path_of("models", name), ModelView)

    def describe_model(self, name: str, description: str) -> ModelView:
        """Say what a model is."""
        answer = self._exchange.send("PATCH", path_of("models", name), document={"description": description})
        return read_as(ModelView, answer)

    def delete_model(self, name: str, *, by: str = "") -> DeletedModel:
        """Delete a model that nothing needs, with all its versions. Raises Conflict, which names what needs it."""
        return read_as(DeletedModel, self._exchange.send("DELETE", path_of("models", name), query=_by(by)))

    def model_metrics(self, name: str, metric: str | None = None) -> MetricsView:
        """Each metric over the versions that have it, or one of them."""
        return read_as(MetricsView, self._exchange.get(path_of("models", name, "metrics"), {"metric": metric}))

    def model_difference(self, name: str, *, old: int, new: int) -> ModelDifference:
        """What is different between two versions."""
        return read_as(ModelDifference, self._exchange.get(path_of("models", name, "diff"), {"old": old, "new": new}))

    def create_version(self, model: str, new: NewVersion, *, by: str = "") -> BroughtView:
        """Make a version of uploaded files, or learn which one has these very files already."""
        document = new.model_dump(mode="json")
        answer = self._exchange.send("POST", path_of("models", model, "versions"), document=document, query=_by(by))
        return read_as(BroughtView, answer)

    def model_archive(self, model: str, version: int | None = None) -> SignedArchive:
        """All that is said of a model's versions, or of one, signed by the controller."""
        return read_as(SignedArchive, self._exchange.get(path_of("models", model, "archive"), {"version": version}))

    def import_archive(self, archive: SignedArchive, *, name: str | None, trust: str | None) -> list[ModelVersion]:
        """Make versions of an archive whose blobs were uploaded; returns those that were not there yet."""
        document = {"archive": archive.model_dump(mode="json"), "name": name, "trust": trust}
        answer = self._exchange.send("POST", "model-archives", document=document)
        return list(read_as(Page[ModelVersion], answer).items)

    def gate(self, model: str, version: int) -> list[GateResult]:
        """All that was decided about a version, the newest first."""
        return list(self._all(path_of("models", model, "versions", str(version), "gate"), GateResult))

    def override_gate(self, model: str, version: int, decision: Decision, reason: str, *, by: str = "") -> GateResult:
        """Decide about a version in its gate's place; ``promote`` makes it the champion."""
        path = path_of("models", model, "versions", str(version), "gate", "override")
        document = {"decision": decision, "reason": reason}
        return read_as(GateResult, self._exchange.send("POST", path, document=document, query=_by(by)))

    # Aliases

    def alias(self, model: str, alias: str) -> AliasView | None:
        """Where an alias stands; None if there is none of that name."""
        try:
            return self._one(path_of("models", model, "aliases", alias), AliasView)
        except NotFound:
            return None

    def move_alias(  # noqa: PLR0913 - what a move is
        self,
        model: str,
        alias: str,
        version: int,
        reason: str,
        by: str = "",
        seen: AliasView | None = None,
        *,
        new: bool = False,
    ) -> AliasView:
        """Let an alias stand for another version.

        Args:
            model: whose alias it is.
            alias: the alias.
            version: what it shall stand for.
            reason: why; kept with the move.
            by: who or what moves it; kept with the move.
            seen: what it was when this was decided; it is not moved if it is another one by now.
            new: only make it.

        Raises:
            Stale: somebody moved it meanwhile.
            Conflict: it should only be made, and is there.
        """
        headers = {"If-None-Match": "*"} if new else _seen(seen)
        document = {"version": version, "reason": reason, **_by(by)}
        path = path_of("models", model, "aliases", alias)
        return read_as(AliasView, self._exchange.send("PUT", path, document=document, headers=headers))

    def roll_back(
        self, model: str, alias: str, *, reason: str = "", by: str = "", seen: AliasView | None = None
    ) -> AliasView:
        """Move an alias back to what it stood for before. Raises Conflict when that is gone, and Stale."""
        path = path_of("models", model, "aliases", alias, "rollback")
        document = {"reason": reason, **_by(by)}
        return read_as(AliasView, self._exchange.send("POST", path, document=document, headers=_seen(seen)))

    def remove_alias(
        self, model: str, alias: str, *, reason: str = "", by: str = "", seen: AliasView | None = None
    ) -> AliasView:
        """Remove an alias that nothing follows; returns what it was."""
        path = path_of("models", model, "aliases", alias)
        query = {"reason": reason, **_by(by)}
        return read_as(AliasView, self._exchange.send("DELETE", path, query=query, headers=_seen(seen)))

    def alias_history(self, model: str, alias: str | None = None) -> Iterator[AliasMoveView]:
        """Every move of a model's aliases, or of one of them, newest first."""
        return self._all(path_of("models", model, "history"), AliasMoveView, {"alias": alias})

    # Versions

    def model_version(self, model: str, version: int) -> VersionView:
        """One version."""
        return self._one(path_of("models", model, "versions", str(version)), VersionView)

    def annotate(
        self, model: str, version: int, *, note: str | None = None, tags: Mapping[str, str | None] | None = None
    ) -> VersionView:
        """Write a version's note, set tags, and remove those that are None."""
        document = {"note": note, "tags": dict(tags or {})}
        path = path_of("models", model, "versions", str(version))
        return read_as(VersionView, self._exchange.send("PATCH", path, document=document))

    def delete_version(self, model: str, version: int, *, by: str = "") -> None:
        """Delete a version that nothing needs. Raises Conflict, which names what needs it."""
        self._exchange.send("DELETE", path_of("models", model, "versions", str(version)), query=_by(by))

    def lineage(self, model: str, version: int) -> LineageView:
        """Where a version came from."""
        return self._one(path_of("models", model, "versions", str(version), "lineage"), LineageView)

    def curves(self, model: str, version: int) -> list[dict[str, float]]:
        """What a version's scripts told of their progress."""
        path = path_of("models", model, "versions", str(version), "curves")
        points: list[dict[str, float]] = []
        while True:
            page = read_as(ProgressPage, self._exchange.get(path, {"from_point": len(points)}))
            points += page.points
            if page.complete or not page.points:
                return points

    def download_file(self, model: str, version: int, path: str, ref: BlobRef, to: Path) -> None:
        """Write one file of a model version, checked by its digest; ``to`` is never half there."""
        source = f"{path_of('models', model, 'versions', str(version), 'files')}/{quote(path)}"
        self._save(source, ref, to)

    def download_tar(self, card: ModelVersion, to: IO[bytes]) -> None:
        """Write all files of a version with its card as one tar, each file checked by its digest on the way.

        Raises Untrusted when one is another, and Unreachable when the tar breaks off; both after it was begun.
        """
        source = path_of("models", card.name, "versions", str(card.version), "files.tar")
        with self._exchange.download(source) as pieces:
            pass_on(pieces, card, to)


def _by(by: str) -> dict[str, str]:
    return {"by": by} if by else {}


def _seen(seen: AliasView | None) -> dict[str, str]:
    return {"If-Match": f'"{seen.revision}"'} if seen else {}
