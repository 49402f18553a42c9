"""The one document that tells an edge what should be."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from schemas.jobs import RequirementLine
from schemas.names import BlobRef, EdgeName, LibraryName, ModelRef, Name, PublicKey
from schemas.wire import Wire


class _Wanted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WantedModel(_Wanted):
    """A model version that this edge holds."""

    name: Name
    version: PositiveInt
    card: BlobRef  # the ModelVersion card, which names its files


class WantedHealth(_Wanted):
    """How what a pipeline is swapped to has to do, or its edge goes back to what answered before, by itself."""

    watch_s: PositiveFloat  # from the moment it answers
    min_messages: PositiveInt = 20  # before so many, nothing is judged but whether its worker lives
    max_failed: NonNegativeFloat = 0.5  # the part of the messages that fail
    max_p95_s: PositiveFloat | None = None


class WantedPipeline(_Wanted):
    """A pipeline that this edge runs, with what its nodes refer to."""

    name: Name
    version: PositiveInt
    spec: BlobRef  # the PipelineSpec
    content_id: str = ""  # names all of this content; reports tell it back
    models: dict[ModelRef, WantedModel] = {}  # keyed as the nodes write it: iris, iris@candidate, iris:3
    shadows: dict[ModelRef, WantedModel] = {}  # asked beside the model of that key, to compare; they answer nobody
    health: WantedHealth | None = None  # None: it stays whatever it does
    libraries: dict[LibraryName, BlobRef] = {}
    requirements: dict[LibraryName, BlobRef | tuple[RequirementLine, ...]] = {}  # of the libraries that have any


class WantedRun(_Wanted):
    """A task this edge should be working on. Gone from the manifest: stop it."""

    run_id: UUID
    attempt: PositiveInt  # the fencing token: only this attempt's results count
    spec: BlobRef  # the TaskSpec
    secrets: BlobRef | None = None  # sealed for this edge and this run, see SealedSecrets
    resume: bool = False  # its lease has ended: go on with it if it is there, and do not start it


class Manifest(Wire):
    """Controller → edge, retained: everything that should be true there."""

    edge: EdgeName  # so that one edge's manifest cannot be replayed to another
    generation: NonNegativeInt  # only grows; an edge ignores one it has passed
    models: tuple[WantedModel, ...] = ()
    pipelines: tuple[WantedPipeline, ...] = ()
    runs: tuple[WantedRun, ...] = ()
    trusted_keys: tuple[PublicKey, ...] = ()  # the controller's: whichever of them signs the next ones
    retired_keys: tuple[str, ...] = ()  # ids of those that are trusted no more, whatever the edge's configuration says
    revoked: bool = False  # the edge is no more the controller's: it ends everything


class SignedManifest(BaseModel):
    """What is published: the manifest's exact bytes as text, and the controller's Ed25519 signature of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    payload: str  # the Manifest as JSON; the signature covers its UTF-8 bytes
    key_id: str
    signature: str  # base64
