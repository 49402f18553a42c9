"""JSON Schema of every document, for editors and for other programs."""

from typing import Any

from pydantic import TypeAdapter

from schemas.blobs import BlobAsk
from schemas.collections import CollectionSpec
from schemas.deployments import DeploymentSpec
from schemas.fleet import Fleet, FleetDocument, LibrarySpec, ModelSpec
from schemas.jobs import JobSpec
from schemas.maintenance import MaintenanceWindow
from schemas.manifest import Manifest, SignedManifest
from schemas.models import ModelVersion
from schemas.pipelines import PipelineSpec
from schemas.report import Report
from schemas.runs import LogBatch, RunAck, RunEvent
from schemas.tasks import TaskSpec
from schemas.wire import ControllerPresence, Presence

DOCUMENTS: dict[str, TypeAdapter[Any]] = {
    "fleet-document": TypeAdapter(FleetDocument),
    **{
        name: TypeAdapter(document)
        for name, document in {
            "blob-ask": BlobAsk,
            "collection": CollectionSpec,
            "controller-presence": ControllerPresence,
            "deployment": DeploymentSpec,
            "fleet": Fleet,
            "job": JobSpec,
            "library": LibrarySpec,
            "log-batch": LogBatch,
            "maintenance-window": MaintenanceWindow,
            "manifest": Manifest,
            "model": ModelSpec,
            "model-version": ModelVersion,
            "pipeline": PipelineSpec,
            "presence": Presence,
            "report": Report,
            "run-ack": RunAck,
            "run-event": RunEvent,
            "signed-manifest": SignedManifest,
            "task": TaskSpec,
        }.items()
    },
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one document. Raises KeyError for an unknown name."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DOCUMENTS[name].json_schema()}
