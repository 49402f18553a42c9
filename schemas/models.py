"""A model version: its files, what goes in and comes out, how good it is, and where it came from."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator

from schemas.names import BlobRef, FileTree, Identifier, ModelRef, Name
from schemas.queries import Format
from schemas.written import Written

MODEL_FILE = "model.onnx"


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TensorSpec(_Stored):
    """One input or output, as the model itself declares it."""

    name: str
    dtype: str  # as ONNX Runtime writes it: tensor(float)
    shape: tuple[int | str | None, ...]  # a text or None is a dynamic axis


class Signature(_Stored):
    """What goes in and what comes out, read from the model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: NonNegativeInt = 0


class Window(_Stored):
    """The rows of one collection that a query saw: after < position <= upto."""

    after: NonNegativeInt = 0
    upto: NonNegativeInt


class DataSelection(_Stored):
    """The rows one query gave: frozen when the run's data was selected."""

    query: str
    format: Format = "json"
    source: Identifier | None = None  # the database asked, if not the collections
    windows: dict[Identifier, Window] = {}  # of each collection that it reads
    new_in: tuple[Identifier, ...] = ()  # those of which only new rows were selected
    rows: NonNegativeInt
    blob: BlobRef


class Lineage(_Stored):
    """Where a version came from."""

    run_id: UUID | None = None  # None: uploaded by a person
    attempt: PositiveInt | None = None
    job: Name | None = None
    edge: str | None = None
    data: tuple[DataSelection, ...] = ()
    holdout: DataSelection | None = None  # never trained on
    scripts: dict[str, BlobRef] = {}
    requirements: BlobRef | None = None
    executor: str = ""
    image: str = ""
    image_digest: str = ""
    environment: str = ""
    params: dict[str, object] = {}  # of the job, as they were then
    base_model: ModelRef | None = None  # as name:version
    base_version: PositiveInt | None = None  # the job's own version before, whose additional outputs it was given
    imported: str = ""  # from where, if it came from another registry, such as: MLflow run 4f2a…
    reproduces: UUID | None = None  # the run whose data it was trained on again


class ModelVersion(_Stored):
    """The card of a version; a blob that manifests name, so that an edge knows its files."""

    v: int = 1
    name: Name
    version: PositiveInt
    files: FileTree  # always model.onnx
    additional: FileTree = {}  # what the scripts left for their next run; not sent to serving edges
    signature: Signature
    metrics: dict[Identifier, float] = {}
    lineage: Lineage = Lineage()
    curves: BlobRef | None = None  # what its scripts told of their progress, a JSON object a line; not sent to edges
    sample: BlobRef | None = None  # .npz: `in/<input>` asked, `out/<output>` answered, when it was checked
    created_at: AwareDatetime

    @property
    def rows(self) -> int:
        """How many rows it was trained on."""
        return sum(selection.rows for selection in self.lineage.data)


class NewVersion(Written):
    """A version that a person uploads: files that the controller holds already, and what is said of them."""

    files: FileTree  # with model.onnx
    metrics: dict[Identifier, Annotated[float, Field(allow_inf_nan=False)]] = {}
    note: Annotated[str, Field(max_length=10_000)] = ""
    tags: dict[Name, Annotated[str, Field(max_length=500)]] = {}
    alias: Name | None = None  # that shall stand for it
    imported: Annotated[str, Field(max_length=500)] = ""  # where it is from

    @field_validator("files")
    @classmethod
    def _has_a_model(cls, files: FileTree) -> FileTree:
        if MODEL_FILE not in files:
            raise ValueError(f"there is no {MODEL_FILE} among the files; one of them has to be called so")
        return files
