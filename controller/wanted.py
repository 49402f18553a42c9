"""What should be on an edge, from deployments and live runs."""

from dataclasses import dataclass

from sqlmodel import Session

from controller.rollouts.contents import Content
from controller.stores.edges import labels_of
from controller.stores.live_runs import wanted_runs
from controller.stores.rollouts import contents_on
from controller.stores.tables import EdgeRow
from schemas.deployments import DeploymentSpec
from schemas.manifest import Manifest, WantedModel, WantedPipeline, WantedRun


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an edge should hold."""

    models: tuple[WantedModel, ...] = ()
    pipelines: tuple[WantedPipeline, ...] = ()
    runs: tuple[WantedRun, ...] = ()

    def manifest(self, edge: str, generation: int) -> Manifest:
        """The document that says so."""
        return Manifest(edge=edge, generation=generation, models=self.models, pipelines=self.pipelines, runs=self.runs)


def wanted_on(session: Session, edge: EdgeRow) -> Wanted:
    """What should be on an edge now; nothing on one that is revoked."""
    if edge.revoked_at is not None:
        return Wanted()
    contents = [Content.model_validate_json(text) for text in contents_on(session, edge=edge.name)]
    models = {(one.model.name, one.model.version): one.model for one in contents if one.model}
    pipelines = {one.pipeline.name: one.pipeline for one in contents if one.pipeline}
    runs = wanted_runs(session, edge=edge.name)
    return Wanted(tuple(models.values()), tuple(pipelines.values()), runs)


def chooses(deployment: DeploymentSpec, edge: EdgeRow) -> bool:
    """Whether a deployment means this edge, by name or because it has all the labels; it means none that is revoked."""
    if edge.revoked_at is not None:
        return False
    if edge.name in deployment.edges:
        return True
    labels = labels_of(edge)
    return bool(deployment.labels) and all(labels.get(key) == value for key, value in deployment.labels.items())
