"""What the agent stands on: its folder, journal, blobs, connections and executor, opened together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from edge_agent.data_folder import DataFolder
from edge_agent.execution.executor import Executor
from edge_agent.execution.executors import make_executor
from edge_agent.journal import Journal
from edge_agent.presence import Announcer
from edge_agent.settings import AgentSettings
from transport.blob_store import BlobDirectory
from transport.folder_lock import own_folder
from transport.mqtt import Link, connect


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything that has to be closed again, and is, in reverse order."""

    folder: DataFolder
    journal: Journal
    blobs: BlobDirectory
    link: Link
    blob_link: Link  # of its own, so that large transfers never hold up reports and events
    executor: Executor


@asynccontextmanager
async def open_ground(settings: AgentSettings, announcer: Announcer) -> AsyncIterator[Ground]:
    """Open it all; nothing here waits for the broker.

    Raises:
        Conflict: another agent uses the data folder.
        BadInput: the journal is a newer agent's, or a file of the broker's certificates cannot be read.
    """
    name = f"tidemill-edge-{settings.edge}"
    async with AsyncExitStack() as stack:
        stack.enter_context(own_folder(settings.data_dir, "agent"))
        folder = DataFolder(settings.data_dir)
        journal = stack.enter_context(Journal.open(folder.journal))
        link = await stack.enter_async_context(connect(settings.broker, name, will=announcer.will, wait=False))
        blob_link = await stack.enter_async_context(connect(settings.broker, f"{name}-blobs", wait=False))
        stack.push_async_callback(announcer.leave, link)
        executor = make_executor(settings, folder)
        stack.push_async_callback(executor.close)
        yield Ground(folder, journal, BlobDirectory(folder.blobs), link, blob_link, executor)
