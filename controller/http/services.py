"""What the API's handlers work with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from controller.data.ingestion import Ingestion
from controller.enrolment import Enrolment
from controller.fleets.desk import FleetDesk
from controller.manifests import Manifests
from controller.models.archives import Archives
from controller.models.uploads import Uploads
from controller.outcomes import Outcomes
from controller.retention import Retention
from controller.revocation import Revocation
from controller.rollouts.loop import Rollouts
from controller.runs.records import RunRecords
from controller.runs.supervisor import Supervisor
from controller.runs.task_writing import TaskWriter
from controller.runs.ticks import Ticks
from controller.secrets import Secrets
from controller.settings import ControllerSettings
from controller.signing_keys import SigningKeys
from controller.stores.collections import CollectionStore
from controller.stores.database import Database
from schemas.broker import BrokerAddress
from schemas.views import BrokerView
from transport.blob_store import BlobDirectory
from transport.mqtt import Link


@dataclass(frozen=True, slots=True)
class Services:
    """The controller's parts, made once by the composition root."""

    settings: ControllerSettings
    broker: BrokerAddress
    for_devices: BrokerView
    clock: Callable[[], datetime]
    database: Database
    collections: CollectionStore
    blobs: BlobDirectory
    link: Link
    supervisor: Supervisor
    manifests: Manifests
    rollouts: Rollouts
    keys: SigningKeys
    ticks: Ticks
    ingestion: Ingestion
    records: RunRecords
    writer: TaskWriter
    retention: Retention
    fleet: FleetDesk
    uploads: Uploads
    archives: Archives
    enrolment: Enrolment
    revocation: Revocation
    secrets: Secrets
    outcomes: Outcomes


def services(request: Request) -> Services:
    """The parts that the application was made with."""
    found: Services = request.app.state.services
    return found


Parts = Annotated[Services, Depends(services)]
