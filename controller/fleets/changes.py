"""What applying one document changes in the control database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel
from sqlmodel import Session

from controller.model_checks import Checked
from controller.stores.job_changes import move_waiting_runs
from controller.stores.jobs import save_job
from controller.stores.models import ensure_model, versions_of_file
from controller.stores.serving import add_library, add_pipeline, newest_library, newest_pipeline, save_deployment
from controller.stores.tables import DeploymentRow, JobRow, ModelRow, WindowRow
from controller.stores.windows import save_window
from controller.uploads import Uploads
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
from schemas.models import MODEL_FILE, NewVersion
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec

Spec = TypeVar("Spec", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FleetChanges:
    """The changes of one ``apply``, made in one session; the caller commits."""

    session: Session
    uploads: Uploads
    checked: Mapping[str, Checked]  # the models' files
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
        known = self.session.get(ModelRow, document.name)
        row = ensure_model(self.session, name=document.name, now=self.now)
        changed: tuple[str, ...] = () if known is None or row.description == document.description else ("description",)
        row.description = document.description
        version = None
        if document.file is not None and document.file.blob is not None:
            version = self._version(document.name, document.file.blob)
            changed += ("file",) if version is not None else ()
        action = "created" if known is None else "updated" if changed else "unchanged"
        return AppliedChange(kind="Model", name=document.name, action=action, version=version, changed=changed)

    def _version(self, name: str, file: BlobRef) -> int | None:
        """Make a version of a model's file; None if some version has that very file."""
        if next(iter(versions_of_file(self.session, model=name, digest=file.digest)), None) is not None:
            return None
        new = NewVersion(files={MODEL_FILE: file})
        return self.uploads.add(
            self.session, name=name, new=new, checked=self.checked[name], by=self.by or "upload"
        ).version

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
