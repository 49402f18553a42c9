"""What an edge needs to do a run once."""

from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, NonNegativeInt, PositiveInt

from schemas.jobs import Limits, SecretUse, VariableName
from schemas.names import BlobRef, Duration, FileName, FileTree, Identifier, Name
from schemas.queries import Format


def _known_keys_of(model: type[BaseModel]) -> BeforeValidator:
    """What people write forbids unknown keys; an edge passes over those of a newer controller."""

    def known(value: object) -> object:
        return {key: value[key] for key in value if key in model.model_fields} if isinstance(value, dict) else value

    return BeforeValidator(known)


class _ForEdge(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskData(_ForEdge):
    """The rows of one query; the script finds them at ``collection_data_<index>_path``."""

    index: PositiveInt
    blob: BlobRef
    rows: NonNegativeInt
    format: Format = "json"

    @property
    def place(self) -> str:
        """Where it lies in the attempt's folder."""
        return f"input/collection_data_{self.index}.{self.format}"


class TaskHoldout(_ForEdge):
    """The rows that no run trains on; the script finds them at ``holdout_data_path``."""

    blob: BlobRef
    rows: NonNegativeInt
    format: Format = "json"

    @property
    def place(self) -> str:
        """Where it lies in the attempt's folder."""
        return f"input/holdout_data.{self.format}"


class TaskScript(_ForEdge):
    """A script, by the name it gets in the task's folder."""

    name: FileName
    blob: BlobRef


class TaskSpec(_ForEdge):
    """Everything an edge needs to do a run once; a blob, named in the manifest. The same for every attempt."""

    v: int = 1
    run_id: UUID
    job: Name
    scripts: tuple[TaskScript, ...]
    requirements: BlobRef | None = None
    data: tuple[TaskData, ...] = ()
    holdout: TaskHoldout | None = None
    additional: FileTree = {}  # what additional_output_folder_path holds at the start
    edge_folder: str | None = None  # on the edge itself; its agent's configuration must allow it
    base_model: BlobRef | None = None
    metrics: tuple[Identifier, ...] = ()  # without one of these the task fails
    optional_metrics: tuple[Identifier, ...] = ()
    params: dict[str, object] = {}
    variables: dict[VariableName, str] = {}
    secrets: tuple[Annotated[SecretUse, _known_keys_of(SecretUse)], ...] = ()  # see WantedRun.secrets
    image: str | None = None
    limits: Annotated[Limits, _known_keys_of(Limits)] = Limits()
    stop_after_s: Duration | None = None  # without a controller for so long, the edge ends the task

    def files(self) -> Iterator[tuple[str, BlobRef]]:
        """What lies in the attempt's folder when the first script starts, by place in it."""
        for script in self.scripts:
            yield f"input/scripts/{script.name}", script.blob
        for data in self.data:
            yield data.place, data.blob
        if self.holdout is not None:
            yield self.holdout.place, self.holdout.blob
        for path, blob in self.additional.items():
            yield f"output/additional_output/{path}", blob
        if self.requirements is not None:
            yield "input/requirements.txt", self.requirements
        if self.base_model is not None:
            yield "input/base_model.onnx", self.base_model
