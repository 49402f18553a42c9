"""What the HTTP API answers about deployments: what they wish, how far edges are, and the timeline."""

from pydantic import AwareDatetime

from schemas.deployments import DeploymentSpec, RolloutPlan
from schemas.maintenance import MaintenanceWindow
from schemas.names import EdgeName, ModelRef, Name
from schemas.rollouts import EdgeState, RolloutState
from schemas.views import View


class RolloutView(View):
    """The moving of a deployment's edges to one content."""

    number: int
    state: RolloutState
    reason: str = ""  # what it waits for, or why it ended so
    cause: str = ""  # such as: iris 3 → 4
    by: str = ""
    step: int = 0
    plan: RolloutPlan
    pipeline_version: int | None = None
    models: dict[ModelRef, int] = {}
    created_at: AwareDatetime
    ended_at: AwareDatetime | None = None


class DeployedView(View):
    """What a deployment wants on one edge, and how far that is, as the edge reports it."""

    state: EdgeState
    reason: str = ""
    online: bool
    rollout: int | None = None  # whose content; None: nothing yet
    previous: int | None = None  # to which it would go back
    generation: int = 0  # of the manifest that says so
    models: dict[ModelRef, int] = {}
    pipeline_version: int | None = None
    placed_at: AwareDatetime | None = None
    since: AwareDatetime | None = None  # of the state, as far as it is known


class DeploymentView(View):
    """A deployment and, per edge, whether what it wishes is so."""

    spec: DeploymentSpec
    models: dict[ModelRef, int] = {}  # what the references stand for now
    waits: str = ""  # for what is not there yet
    rollout: RolloutView | None = None  # the newest
    edges: dict[EdgeName, DeployedView] = {}


class MaintenanceWindowView(View):
    """A maintenance window, whether it is open, and the edges that it is of."""

    spec: MaintenanceWindow
    open: bool
    changes_at: AwareDatetime | None = None  # when it closes or opens next; None: never
    edges: tuple[EdgeName, ...] = ()


class ChangeView(View):
    """A line of the timeline."""

    id: int
    at: AwareDatetime
    kind: str  # such as alias, rollout, placed, answers
    subject: str  # such as model iris
    edge: str = ""  # empty: all, or none yet
    what: str
    cause: str = ""
    by: str = ""


class ServingView(View):
    """A version that answered on an edge, as that reported it."""

    edge: EdgeName
    pipeline: Name
    pipeline_version: int
    ref: str = ""  # to the model, as the pipeline's nodes write it; empty: the pipeline itself
    model: str = ""
    version: int | None = None
    since: AwareDatetime
    until: AwareDatetime | None = None  # None: it answers still, as far as is known
