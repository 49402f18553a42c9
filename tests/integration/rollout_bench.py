"""A control database with a deployment, and edges that report what a test has them say; no broker is needed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from controller.rollouts.orders import tag_of
from controller.rollouts.steps import Looked, look_at_all
from controller.rollouts.view import deployment_view, rollout_view
from controller.stores.changes import changes
from controller.stores.database import Database
from controller.stores.edges import add_edge, get_edge, note_report
from controller.stores.models import add_version, ensure_model, move_alias, next_version
from controller.stores.rollouts import newest_rollout, rollouts
from controller.stores.serving import add_pipeline, get_deployment, save_deployment
from controller.stores.tables import EdgeRow
from controller.wanted import wanted_on
from schemas.deployment_views import ChangeView, DeployedView, DeploymentView, RolloutView
from schemas.deployments import DeploymentSpec
from schemas.manifest import WantedPipeline
from schemas.models import MODEL_FILE, ModelVersion, Signature
from schemas.names import BlobRef
from schemas.pipelines import NodeFigures, PipelineSpec
from schemas.report import Capabilities, PipelineState, PipelineStatus, Report, Returned, SinceSwap
from schemas.rollouts import RolloutState

T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)
SCORING = PipelineSpec.model_validate(
    {
        "name": "scoring",
        "nodes": [
            {"id": "in", "type": "mqtt_sub", "topic": "plant/ask"},
            {"id": "predict", "type": "model", "model": "iris", "inputs": ["in"]},
            {"id": "out", "type": "mqtt_pub", "topic": "plant/answer", "inputs": ["predict"]},
        ],
    }
)
_CAPABILITIES = Capabilities(executors=("process",), cpus=1, memory_bytes=1, platform="test")


@dataclass
class RolloutBench:
    """Looks at deployments as the controller does, and publishes manifests by writing them down."""

    database: Database
    now: datetime = T0
    told: list[set[str]] = field(default_factory=list)  # the edges that each look found to be told something

    def prepare(self, *edges: str, **rollout: object) -> None:
        """Edges that are online, version 1 of the model and its pipeline, deployed to all of them by this plan."""
        for name in edges:
            self.edge(name)
        self.model()
        self.pipeline()
        self.deploy(rollout=rollout)

    def edge(self, name: str, **labels: str) -> None:
        """Enrol an edge, which is online."""
        with self.database.transaction() as session:
            row = add_edge(session, name=name, labels={"hall": "2", **labels}, sealing_key="", now=self.now)
            row.online = True
            session.add(row)

    def model(self, name: str = "iris", *, alias: str = "champion", deploys: bool = True) -> int:
        """A new version, for which the alias stands."""
        with self.database.transaction() as session:
            ensure_model(session, name=name, now=self.now)
            version = next_version(session, model=name)
            file = _blob(f"{name} {version} file")
            card = ModelVersion(
                name=name,
                version=version,
                files={MODEL_FILE: file},
                signature=Signature(inputs=(), outputs=()),
                created_at=self.now,
            )
            add_version(session, card=card, card_blob=card_of(name, version))
            move_alias(
                session,
                model=name,
                alias=alias,
                version=version,
                reason=f"it is the {version}.",
                now=self.now,
                by="a test",
                deploys=deploys,
            )
        return version

    def pipeline(self) -> None:
        """Another version of the pipeline."""
        with self.database.transaction() as session:
            version = add_pipeline(session, spec=SCORING, blob=_blob(self.now.isoformat()), now=self.now)
            assert version

    def deploy(self, **changes: object) -> None:
        """Apply the deployment."""
        written = {"name": "here", "labels": {"hall": "2"}, "pipeline": "scoring", **changes}
        with self.database.transaction() as session:
            save_deployment(session, spec=DeploymentSpec.model_validate(written), now=self.now)

    def change(self, edge: str, what: Callable[[EdgeRow], None]) -> None:
        """Have an edge's row say something else."""
        with self.database.transaction() as session:
            row = get_edge(session, name=edge)
            what(row)
            session.add(row)

    def look(self, *, publish: bool = True) -> Looked:
        """Look once, and tell those edges that are to be told."""
        with self.database.transaction() as session:
            looked = look_at_all(session, now=self.now)
        self._took(looked, publish=publish)
        return looked

    def order(self, order: Callable[..., object], **facts: object) -> None:
        """What a person orders, and the look that follows in the same transaction."""
        more = {"reason": "", "revision": None, **facts}
        with self.database.transaction() as session:
            order(session, "here", now=self.now, **more)
            looked = look_at_all(session, now=self.now)
        self._took(looked, publish=True)

    def later(self, **passed: float) -> Looked:
        """Let time pass, and look."""
        self.now += timedelta(**passed)
        return self.look()

    def publish(self, *edges: str) -> None:
        """Write the manifests of these edges down, with the next generation where they say something else."""
        with self.database.transaction() as session:
            for edge in edges:
                row = get_edge(session, name=edge)
                manifest = wanted_on(session, row).manifest(edge, 0).model_dump_json(exclude={"sent_at", "generation"})
                if manifest != row.wanted:
                    row.wanted, row.generation = manifest, row.generation + 1
                    session.add(row)

    def settle(self, *edges: str, answered: int = 0, failed: int = 0) -> None:
        """Have edges report that what they are told of answers."""
        for edge in edges:
            self.says(edge, answered=answered, failed=failed)

    def says(
        self,
        edge: str,
        *,
        state: PipelineState = PipelineState.LISTENING,
        content: WantedPipeline | None = None,
        returned: str = "",
        generation: int | None = None,
        failed: int = 0,
        answered: int = 0,
        nodes: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """Have an edge report, also what its nodes have counted: by default, that what it is told of answers."""
        wanted, told = self.wanted(edge), self.generation(edge) if generation is None else generation
        answers = content or wanted
        pipelines: tuple[PipelineStatus, ...] = ()
        if wanted is not None and answers is not None:
            swap = SinceSwap(since=self.now, answered=answered, failed=failed)
            gone = {"content_id": wanted.content_id, "version": wanted.version, "reason": returned, "at": self.now}
            status = PipelineStatus(
                name=answers.name,
                version=answers.version,
                state=state,
                content_id=answers.content_id,
                models={ref: model.version for ref, model in answers.models.items()},
                returned=Returned.model_validate(gone) if returned else None,
                since_swap=swap,
                nodes={node: NodeFigures(notes=dict(notes)) for node, notes in (nodes or {}).items()},
            )
            pipelines = (status,)
        report = Report(
            edge=edge,
            session_id="1",
            generation=told,
            agent_version="1",
            started_at=T0,
            capabilities=_CAPABILITIES,
            pipelines=pipelines,
            disk_free_bytes=1,
            load=0,
        )
        with self.database.transaction() as session:
            note_report(session, report=report, now=self.now)

    def returns(self, edge: str, before: WantedPipeline | None, reason: str = "it does not load") -> None:
        """Have an edge report that it went back from what it is told of to this."""
        self.says(edge, state=PipelineState.DEGRADED, content=before, returned=reason)

    def wanted(self, edge: str) -> WantedPipeline | None:
        """The pipeline that the edge's manifest tells of."""
        with self.database.transaction() as session:
            pipelines = json.loads(get_edge(session, name=edge).wanted or "{}").get("pipelines", [])
        return WantedPipeline.model_validate(pipelines[0]) if pipelines else None

    def generation(self, edge: str) -> int:
        """Of the manifest written last."""
        with self.database.transaction() as session:
            return get_edge(session, name=edge).generation

    def versions(self) -> dict[str, int | None]:
        """The version of the model that each edge's manifest tells of."""
        with self.database.transaction() as session:
            names = list(deployment_view(session, get_deployment(session, name="here")).edges)
        found = {name: self.wanted(name) for name in names}
        return {name: wanted.models["iris"].version if wanted else None for name, wanted in found.items()}

    @property
    def view(self) -> DeploymentView:
        """The deployment as the API tells it."""
        with self.database.transaction() as session:
            return deployment_view(session, get_deployment(session, name="here"))

    def on(self, edge: str) -> DeployedView:
        """The same of one edge."""
        return self.view.edges[edge]

    @property
    def newest(self) -> RolloutView:
        """The newest rollout."""
        return self.history[0]

    @property
    def state(self) -> RolloutState:
        """The state of the newest rollout."""
        return self.newest.state

    @property
    def tag(self) -> int:
        """The deployment's entity tag."""
        with self.database.transaction() as session:
            newest = newest_rollout(session, deployment="here")
        assert newest is not None
        return tag_of(newest)

    @property
    def history(self) -> list[RolloutView]:
        """All rollouts, newest first."""
        with self.database.transaction() as session:
            return [rollout_view(row) for row in rollouts(session, deployment="here")]

    def lines(self, *kinds: str) -> list[ChangeView]:
        """The timeline's lines about the deployment, oldest first."""
        with self.database.transaction() as session:
            rows = changes(session, subject="deployment here", limit=1000)
            found = [ChangeView.model_validate(row.model_dump()) for row in reversed(rows)]
        return [line for line in found if line.kind in kinds]

    def _took(self, looked: Looked, *, publish: bool) -> None:
        self.told.append(set(looked.edges))
        if publish:
            self.publish(*looked.edges)


def card_of(model: str, version: int) -> BlobRef:
    """The card of a version."""
    return _blob(f"{model} {version} card")


def _blob(text: str) -> BlobRef:
    return BlobRef(digest=f"sha256:{sha256(text.encode()).hexdigest()}", size_bytes=len(text))
