"""What every task on this edge is worked on with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.contact import Contact
from edge_agent.energy.measuring import EnergyMeasuring
from edge_agent.execution.executor import Executor
from edge_agent.journal import Journal
from edge_agent.secrets import TaskSecrets
from edge_agent.tasks.inputs import Inputs
from schemas.names import EdgeName
from transport.blob_store import BlobDirectory
from transport.mqtt import Link


@dataclass(frozen=True, slots=True)
class Workshop:
    """The tools that tasks share; made once, by the composition root."""

    edge: EdgeName
    executor: Executor
    inputs: Inputs
    blobs: BlobDirectory
    journal: Journal
    secrets: TaskSecrets
    folders: Path
    link: Link
    contact: Contact
    energy: EnergyMeasuring
    reserve_bytes: int  # of disk; no task may take it
    on_change: Callable[[], None]  # something was saved: events wait to be sent, and the report has changed
    edge_folders: tuple[Path, ...] = ()  # what jobs may read of this machine, and all below
