"""What ``tidemill apply`` takes: documents told apart by ``kind``, and the report of what applying them did."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

from schemas.collections import CollectionSpec
from schemas.deployments import DeploymentSpec
from schemas.gates import HIGHER_IS_BETTER, Gate
from schemas.jobs import JobSpec, Requirements
from schemas.maintenance import MaintenanceWindow
from schemas.names import File, LibraryName, Name
from schemas.pipelines import PipelineSpec
from schemas.written import Written


class ModelSpec(Written):
    """A named registry entry; with a file, that file becomes its version unless it is one already."""

    name: Name
    description: str = ""
    gate: Gate | None = None  # judges what is uploaded, and runs of jobs that have no gate of their own
    file: File | None = None

    @field_validator("gate")
    @classmethod
    def _knows_which_way_is_better(cls, gate: Gate | None) -> Gate | None:
        """Nobody else says it of a number that is uploaded, unless it is one that everybody knows."""
        if gate is None or gate.metric is None or gate.better is not None:
            return gate
        usual = {str(name): higher for name, higher in HIGHER_IS_BETTER.items()}.get(gate.metric)
        if usual is None:
            raise ValueError(f"`better` has to say whether {gate.metric} is better when higher or lower")
        return gate.model_copy(update={"better": "higher" if usual else "lower"})


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
    told: str = ""  # what a model's gate says of its new version
