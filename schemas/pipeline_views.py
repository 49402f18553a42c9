"""What the HTTP API answers about pipelines, their versions, nodes, libraries and dead letters."""

from pydantic import AwareDatetime, JsonValue, NonNegativeInt

from schemas.fleet import LibrarySpec
from schemas.names import EdgeName, Name
from schemas.payload_text import Encoding
from schemas.pipeline_changes import PipelineChanges
from schemas.pipelines import PipelineSpec
from schemas.report import PipelineStatus
from schemas.views import View


class PipelineView(View):
    """A pipeline's newest version, and how it does on each edge."""

    spec: PipelineSpec
    version: int
    created_at: AwareDatetime
    edges: dict[str, PipelineStatus] = {}  # as each of them said last
    absent: dict[str, str] = {}  # those of them that cannot be asked now, and why
    waits: str = ""  # for what, before it can be deployed anywhere


class DeadLetterView(View):
    """A message that a pipeline could not answer, without its payload."""

    id: int
    pipeline: str
    version: int  # of the pipeline
    at: AwareDatetime
    topic: str  # that it came on
    node: str  # that it failed at
    error: str
    size_bytes: NonNegativeInt  # of the payload, as far as it is kept
    truncated: bool = False  # only the first bytes are kept
    retried_at: AwareDatetime | None = None  # the last time


class DeadLetterContent(DeadLetterView):
    """The same with its payload."""

    payload: str
    encoding: Encoding = "text"


class PipelineVersionView(View):
    """A version of a pipeline, which never changes."""

    spec: PipelineSpec
    version: int
    created_at: AwareDatetime
    made_by: str = ""  # such as: tidemill apply -f fleet.yaml
    edges: tuple[EdgeName, ...] = ()  # on which it runs, as they reported last


class PipelineDifference(View):
    """What is different between two versions of a pipeline."""

    name: str
    old: int
    new: int
    changes: PipelineChanges


class Undeployed(View):
    """What the end of deployments changed."""

    deployments: tuple[Name, ...] = ()
    edges: tuple[EdgeName, ...] = ()  # that from now on hold or run less


class DeletedPipeline(Undeployed):
    """What went with a pipeline."""

    versions: NonNegativeInt
    dead_letters: NonNegativeInt = 0


class ProposedPipeline(View):
    """A pipeline that answers messages with a model; nothing is made of it yet."""

    spec: PipelineSpec
    version: int  # of the model, as it stands now
    why: str  # the features are these, or there are none
    message: JsonValue = None  # one that it answers


class NodeTypeView(View):
    """A type of nodes, with what an editor's form needs."""

    name: str
    doc: str
    example: str  # YAML
    starts_runs: bool = False  # it may stand without inputs
    may_skip: bool = False
    json_schema: dict[str, JsonValue]  # of one node of this type


class LibraryView(View):
    """A library's newest version."""

    spec: LibrarySpec
    version: int
    created_at: AwareDatetime
