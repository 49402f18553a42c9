"""What applying one document changes in the control database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel
from sqlmodel import Session

from controller.models.places import Overtaken
from controller.models.uploads import Brought, Draft, Uploads
from controller.stores.gates import gate_of
from controller.stores.job_changes import move_waiting_runs
from controller.stores.jobs import save_job
from controller.stores.models import ensure_model, versions_of_file
from controller.stores.serving import add_library, add_pipeline, newest_library, newest_pipeline, save_deployment
from controller.stores.tables import DeploymentRow, JobRow, ModelRow, WindowRow
from controller.stores.windows import save_window
from schemas.deployments import DeploymentSpec
from schemas.fleet import (
    AppliedChange,
    CollectionDocument,
    DeploymentDocument,
    FleetDocument,
    JobDocument,
    LibraryDocument,
    LibrarySpec,
    MaintenanceWindowDocument,
    ModelDocument,
    PipelineDocument,
)
from schemas.jobs import JobSpec
from schemas.maintenance import MaintenanceWindow
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec

Spec = TypeVar("Spec", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FleetChanges:
    """The changes of one ``apply``, made in one session; the caller commits."""

    session: Session
    uploads: Uploads
    drafts: Mapping[str, Draft]  # of the models' files that are no versions yet
    declared: Mapping[str, AppliedChange]  # the collections, which have a database of their own
    by: str  # what applies the documents
    now: datetime

    def make(self, document: FleetDocument) -> AppliedChange:
        """Make what the document says so, and tell what that changed."""
        match document:
            case CollectionDocument():
                return self.declared[document.name]
            case ModelDocument():
                return self._model(document)
            case JobDocument():
                return self._job(document)
            case LibraryDocument():
                return self._library(document)
            case PipelineDocument():
                return self._pipeline(document)
            case DeploymentDocument():
                return self._deployment(document)
            case MaintenanceWindowDocument():
                return self._window(document)

    def _model(self, document: ModelDocument) -> AppliedChange:
        known = self.session.get(ModelRow, document.name) is not None
        row = ensure_model(self.session, name=document.name, now=self.now)
        before = {"description": row.description, "gate": gate_of(self.session, model=document.name)}
        row.description = document.description
        row.gate = document.gate.model_dump_json() if document.gate is not None else None
        self.session.flush()
        changed = tuple(key for key, value in before.items() if known and value != getattr(document, key))
        brought = self._version(document.name, document.file.blob) if document.file and document.file.blob else None
        changed += ("file",) if brought is not None else ()
        return AppliedChange(
            kind="Model",
            name=document.name,
            action="created" if not known else "updated" if changed else "unchanged",
            version=brought.card.version if brought is not None else None,
            changed=changed,
            told=brought.told if brought is not None else "",
        )

    def _version(self, name: str, file: BlobRef) -> Brought | None:
        """Make a version of a model's file; None if some version has that very file."""
        if next(iter(versions_of_file(self.session, model=name, digest=file.digest)), None) is not None:
            return None
        if name not in self.drafts:
            raise Overtaken(f"the version of {name} that had this file was deleted meanwhile")
        return self.uploads.add(self.session, self.drafts[name])

    def _job(self, document: JobDocument) -> AppliedChange:
        row = self.session.get(JobRow, document.name)
        spec = _spec(document, JobSpec)
        change = _compare("Job", spec, JobSpec.model_validate_json(row.spec) if row else None)
        if change.action != "unchanged":
            ensure_model(self.session, name=spec.model, now=self.now)
            save_job(self.session, spec=spec, now=self.now)
            move_waiting_runs(self.session, job=spec)
        return change

    def _library(self, document: LibraryDocument) -> AppliedChange:
        row = newest_library(self.session, name=document.name)
        spec = _spec(document, LibrarySpec)
        change = _compare("Library", spec, LibrarySpec.model_validate_json(row.spec) if row else None)
        if change.action == "unchanged":
            return change
        return change.model_copy(update={"version": add_library(self.session, spec=spec, now=self.now)})

    def _pipeline(self, document: PipelineDocument) -> AppliedChange:
        row = newest_pipeline(self.session, name=document.name)
        spec = _spec(document, PipelineSpec)
        change = _compare("Pipeline", spec, PipelineSpec.model_validate_json(row.spec) if row else None)
        if change.action == "unchanged":
            return change
        blob = self.uploads.blobs.put_bytes(spec.model_dump_json().encode())
        version = add_pipeline(self.session, spec=spec, blob=blob, by=self.by, now=self.now)
        return change.model_copy(update={"version": version})

    def _deployment(self, document: DeploymentDocument) -> AppliedChange:
        row = self.session.get(DeploymentRow, document.name)
        spec = _spec(document, DeploymentSpec)
        change = _compare("Deployment", spec, DeploymentSpec.model_validate_json(row.spec) if row else None)
        if change.action != "unchanged":
            save_deployment(self.session, spec=spec, now=self.now)
        return change

    def _window(self, document: MaintenanceWindowDocument) -> AppliedChange:
        row = self.session.get(WindowRow, document.name)
        spec = _spec(document, MaintenanceWindow)
        change = _compare("MaintenanceWindow", spec, MaintenanceWindow.model_validate_json(row.spec) if row else None)
        if change.action != "unchanged":
            save_window(self.session, spec=spec, now=self.now)
        return change


def _spec(document: BaseModel, kind: type[Spec]) -> Spec:
    return kind.model_validate(document.model_dump(exclude={"kind"}))


def _compare(
    kind: str,
    spec: JobSpec | LibrarySpec | PipelineSpec | DeploymentSpec | MaintenanceWindow,
    before: BaseModel | None,
) -> AppliedChange:
    if before is None:
        return AppliedChange(kind=kind, name=spec.name, action="created")
    old, new = before.model_dump(mode="json"), spec.model_dump(mode="json")
    changed = tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))
    return AppliedChange(kind=kind, name=spec.name, action="updated" if changed else "unchanged", changed=changed)
