"""What the HTTP API answers about models, their versions and their aliases."""

from pydantic import AwareDatetime, NonNegativeInt, PositiveInt

from schemas.gates import Gate
from schemas.models import DataSelection, Lineage, ModelVersion
from schemas.names import EdgeName
from schemas.views import View


class AliasView(View):
    """A name for a version that can move; its ``ETag`` is the revision in quotes."""

    name: str
    version: int
    previous: int | None = None  # where a rollback would go
    moved_at: AwareDatetime
    reason: str = ""
    by: str = ""  # who or what moved it last
    revision: NonNegativeInt = 0


class AliasMoveView(View):
    """One move of an alias."""

    id: int
    alias: str
    previous: int | None = None  # None: it was made
    version: int | None = None  # None: it was removed
    at: AwareDatetime
    by: str = ""
    reason: str = ""
    deploys: bool = True
    undoes: int | None = None  # the id of the move that it took back


class VersionPlace(View):
    """Where a version is, as an edge reported last."""

    edge: EdgeName
    pipeline: str = ""  # that it answers in; empty: the edge holds it, and it is ready


class GateMark(View):
    """What was decided of a version last."""

    decision: str
    at: AwareDatetime
    by: str = ""  # a person, or a model's gate, and for whom; empty: a job's gate


class VersionView(ModelVersion):
    """A version's card, with what is known of it besides."""

    base: bool = False  # the oldest of its model
    aliases: tuple[str, ...] = ()
    deployed: tuple[VersionPlace, ...] = ()
    gate: GateMark | None = None
    note: str = ""
    tags: dict[str, str] = {}


class BroughtView(VersionView):
    """A version that somebody has brought."""

    told: str = ""  # what the model's gate says of it, and why an alias that was asked for did not move


class ModelView(View):
    """A model with its versions, newest first."""

    name: str
    description: str = ""
    gate: Gate | None = None
    aliases: tuple[AliasView, ...] = ()
    versions: tuple[VersionView, ...] = ()


class LineageView(View):
    """Where a version came from, and where what it was made from came from."""

    model: str
    version: int
    created_at: AwareDatetime | None = None  # None: the version is gone
    lineage: Lineage = Lineage()
    base: "LineageView | None" = None  # of the base model's version that its scripts were given
    cut: bool = False  # there is more behind it


class FieldDifference(View):
    """One thing that is another one now; None: it is not there."""

    name: str
    old: str | None = None
    new: str | None = None


class MetricDifference(View):
    """A metric of two versions."""

    name: str
    old: float | None = None
    new: float | None = None
    change: float | None = None  # new less old, where both have it


class DataDifference(View):
    """What one query, by its number, gave for each version."""

    query: PositiveInt
    old: DataSelection | None = None
    new: DataSelection | None = None


class FileDifference(View):
    """A file of another content."""

    name: str
    old_bytes: NonNegativeInt | None = None
    new_bytes: NonNegativeInt | None = None
    diff: tuple[str, ...] = ()  # lines of a unified diff
    why_none: str = ""  # why there is no diff, such as: it is no text


class ModelDifference(View):
    """What is different between two versions of a model."""

    name: str
    old: int
    new: int
    metrics: tuple[MetricDifference, ...] = ()  # all, also those that are the same
    signature: tuple[FieldDifference, ...] = ()
    data: tuple[DataDifference, ...] = ()
    scripts: tuple[FileDifference, ...] = ()
    requirements: FileDifference | None = None
    files: tuple[FileDifference, ...] = ()
    training: tuple[FieldDifference, ...] = ()  # job, edge, image, base model …
    params: tuple[FieldDifference, ...] = ()


class MetricPoint(View):
    """A metric of one version."""

    version: int
    created_at: AwareDatetime
    value: float


class MetricsView(View):
    """Each metric over the versions that have it, oldest first."""

    name: str
    metrics: dict[str, tuple[MetricPoint, ...]] = {}


class DeletedModel(View):
    """What was deleted; its files go with the next sweep, unless something else has them too."""

    name: str
    versions: NonNegativeInt
