"""What ``tidemill apply`` takes: documents told apart by ``kind``, and the report of what applying them did."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from schemas.collections import CollectionSpec
from schemas.deployments import DeploymentSpec
from schemas.jobs import JobSpec, Requirements
from schemas.maintenance import MaintenanceWindow
from schemas.names import File, LibraryName, Name
from schemas.pipelines import PipelineSpec
from schemas.written import Written


class ModelSpec(Written):
    """A named registry entry; with a file, that file becomes its version unless it is one already."""

    name: Name
    description: str = ""
    file: File | None = None


class LibrarySpec(Written):
    """A Python module with an ``exec`` function, for library nodes."""

    name: LibraryName
    file: File
    requirements: Requirements | None = None  # what edges install for it


class MaintenanceWindowDocument(MaintenanceWindow):
    """``kind: MaintenanceWindow``."""

    kind: Literal["MaintenanceWindow"]


class CollectionDocument(CollectionSpec):
    """``kind: Collection``."""

    kind: Literal["Collection"]


class ModelDocument(ModelSpec):
    """``kind: Model``."""

    kind: Literal["Model"]


class JobDocument(JobSpec):
    """``kind: Job``."""

    kind: Literal["Job"]


class LibraryDocument(LibrarySpec):
    """``kind: Library``."""

    kind: Literal["Library"]


class PipelineDocument(PipelineSpec):
    """``kind: Pipeline``."""

    kind: Literal["Pipeline"]


class DeploymentDocument(DeploymentSpec):
    """``kind: Deployment``."""

    kind: Literal["Deployment"]


FleetDocument = Annotated[
    CollectionDocument
    | ModelDocument
    | JobDocument
    | LibraryDocument
    | PipelineDocument
    | DeploymentDocument
    | MaintenanceWindowDocument,
    Field(discriminator="kind"),
]


class Fleet(Written):
    """The documents of one ``apply``, in the order in which they stand."""

    documents: tuple[FleetDocument, ...]


class AppliedChange(BaseModel):
    """What applying one document did, or would do."""

    kind: str
    name: str
    action: Literal["created", "updated", "unchanged"]
    version: int | None = None  # for what has versions
    changed: tuple[str, ...] = ()  # the top-level fields that differ
