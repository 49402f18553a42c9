"""A model version: its files, what goes in and comes out, how good it is, and where it came from."""

from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from schemas.names import BlobRef, FileTree, Identifier, Name

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


class DataSelection(_Stored):
    """The rows one query gave: frozen when the run's data was selected."""

    query: str
    collection: Identifier | None = None  # set when only new rows were selected
    after_position: NonNegativeInt = 0  # new rows are those with after < position <= upto
    upto_position: NonNegativeInt = 0
    rows: NonNegativeInt
    blob: BlobRef


class Lineage(_Stored):
    """Where a version came from."""

    run_id: UUID | None = None  # None: uploaded by a person
    attempt: PositiveInt | None = None
    job: Name | None = None
    edge: str | None = None
    data: tuple[DataSelection, ...] = ()
    scripts: dict[str, BlobRef] = {}
    requirements: BlobRef | None = None
    executor: str = ""
    image: str = ""
    image_digest: str = ""
    environment: str = ""
    base_version: PositiveInt | None = None


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
    created_at: AwareDatetime

    @property
    def rows(self) -> int:
        """How many rows it was trained on."""
        return sum(selection.rows for selection in self.lineage.data)
