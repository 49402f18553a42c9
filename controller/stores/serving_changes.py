"""Deleting pipelines and deployments, each in one transaction, and what that changes on edges."""

from collections.abc import Mapping

from sqlalchemy import delete
from sqlmodel import Session, col

from controller.stores.dead_letters import drop_letters
from controller.stores.edges import list_edges
from controller.stores.rollouts import forget_deployment
from controller.stores.serving import get_pipeline, list_deployments, pipeline_versions
from controller.stores.tables import DeploymentRow, PipelineRow
from controller.wanted import chooses, wanted_on
from schemas.deployments import DeploymentSpec
from schemas.errors import Conflict, NotFound
from schemas.names import EdgeName, Name
from schemas.pipeline_views import DeletedPipeline, Undeployed


def delete_pipeline(session: Session, *, name: Name, undeploy: bool) -> DeletedPipeline:
    """Delete a pipeline in all its versions, and its dead letters, which nobody could ask for any more. Caller commits.

    Raises:
        NotFound: there is no such pipeline.
        Conflict: it is deployed, and ``undeploy`` is not given.
    """
    get_pipeline(session, name=name)
    using = [deployment for deployment in list_deployments(session) if deployment.pipeline == name]
    if using and not undeploy:
        where = "; ".join(
            f"deployment {deployment.name} runs it on {_places(session, deployment)}" for deployment in using
        )
        raise Conflict(f"pipeline {name} is deployed: {where}. Delete it with its deployments, or these first")
    before = _wanted(session)
    versions = len(pipeline_versions(session, name=name))
    for deployment in using:
        session.delete(session.get_one(DeploymentRow, deployment.name))
        forget_deployment(session, deployment=deployment.name)
    letters = drop_letters(session, pipeline=name, numbers=None)
    session.connection().execute(delete(PipelineRow).where(col(PipelineRow.name) == name))
    session.flush()
    names = tuple(deployment.name for deployment in using)
    return DeletedPipeline(versions=versions, dead_letters=letters, deployments=names, edges=_changed(session, before))


def delete_deployment(session: Session, *, name: Name) -> Undeployed:
    """Delete a deployment; what other deployments want stays where they want it. Caller commits. Raises NotFound."""
    row = session.get(DeploymentRow, name)
    if row is None:
        raise NotFound(f"there is no deployment {name!r}")
    before = _wanted(session)
    session.delete(row)
    forget_deployment(session, deployment=name)
    session.flush()
    return Undeployed(deployments=(name,), edges=_changed(session, before))


def _places(session: Session, deployment: DeploymentSpec) -> str:
    """The edges that a deployment means, in words."""
    return ", ".join(edge.name for edge in list_edges(session) if chooses(deployment, edge)) or "no edge at present"


def _wanted(session: Session) -> Mapping[EdgeName, object]:
    """What deployments want on each edge."""
    found = {edge.name: wanted_on(session, edge) for edge in list_edges(session)}
    return {edge: (wanted.models, wanted.pipelines) for edge, wanted in found.items()}


def _changed(session: Session, before: Mapping[EdgeName, object]) -> tuple[EdgeName, ...]:
    return tuple(edge for edge, wanted in _wanted(session).items() if wanted != before.get(edge))
