"""The composition root: builds the agent, runs it until it is cancelled, closes in reverse order."""

import asyncio
import logging
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress

from edge_agent.blob_cache import BlobCache, blobs_of_models, blobs_of_pipelines, blobs_of_tasks
from edge_agent.contact import Contact
from edge_agent.energy.measuring import EnergyMeasuring
from edge_agent.events import Outbox
from edge_agent.execution.container_user import user
from edge_agent.execution.executors import install_settings
from edge_agent.execution.secret_folder import SecretFolders, memory_folder
from edge_agent.fetching import Fetcher
from edge_agent.gathering import Gatherer
from edge_agent.ground import Ground, open_ground
from edge_agent.manifests import ManifestIntake
from edge_agent.presence import Announcer
from edge_agent.reporting import Reporter
from edge_agent.secrets import TaskSecrets, sealing_key
from edge_agent.serving.deployments import Deployments
from edge_agent.serving.pipelines import PipelineSupervisor
from edge_agent.serving.row_shipping import RowShipping
from edge_agent.serving.showing import Showing
from edge_agent.serving.state_folders import StateFolders
from edge_agent.settings import AgentSettings
from edge_agent.shelf.library_packages import LibraryPackages
from edge_agent.shelf.shelf import Shelf
from edge_agent.tasks.board import TaskBoard
from edge_agent.tasks.inputs import Inputs
from edge_agent.tasks.workshop import Workshop
from schemas import topics
from schemas.names import BlobRef
from transport.transfer import BlobReceiver, BlobSender

log = logging.getLogger(__name__)

LAST_STOP_S = 3.0  # for tasks that end with the agent


async def run(settings: AgentSettings) -> None:
    """Serve until cancelled. Tasks go on without the agent, unless the settings say otherwise.

    Raises:
        Conflict: another agent uses the data folder.
        BadInput: the journal is a newer agent's, or a file of the broker's certificates cannot be read.
    """
    session_id = secrets.token_hex(8)
    announcer = Announcer(settings.edge, session_id)
    async with open_ground(settings, announcer) as ground, AsyncExitStack() as stack:
        group = asyncio.TaskGroup()
        agent = Agent(settings, session_id, announcer, ground, group)
        stack.push_async_callback(agent.close_energy)
        stack.push_async_callback(agent.close_pipelines)
        if settings.end_tasks_on_exit:
            stack.push_async_callback(agent.stop_tasks)
        async with group:
            agent.start()


class Agent:
    """The parts, wired together; they work in asyncio tasks of ``group``, and a crash of one ends all."""

    def __init__(
        self, settings: AgentSettings, session_id: str, announcer: Announcer, ground: Ground, group: asyncio.TaskGroup
    ) -> None:
        self._settings, self._announcer, self._ground, self._group = settings, announcer, ground, group
        edge = settings.edge
        self._contact = Contact(ground.folder.cut_off)
        self._reserve_bytes = settings.disk_reserve_mb * 1024 * 1024
        self._energy = EnergyMeasuring(settings.energy)
        self._outbox = Outbox(ground.link, ground.journal, edge)
        self._reporter = Reporter(ground.link, every_s=settings.report_every_s)
        self._sender = BlobSender(ground.blob_link, ground.blobs, edge=edge)
        self._intake = ManifestIntake(ground.journal, edge, settings.controller_public_key)
        fetcher = Fetcher(edge, ground.blobs, BlobReceiver(ground.blob_link, ground.blobs, me="edge"))
        self._board = TaskBoard(self._workshop(fetcher), group, max_tasks=settings.max_tasks)
        states = StateFolders(ground.folder.pipeline_states)
        self._pipelines = PipelineSupervisor(
            edge,
            settings.data_broker or settings.broker,
            self._pipelines_changed,
            sessions_file=ground.folder.pipeline_sessions,
            states=states,
        )
        self._rows = RowShipping(ground.link, states, edge)
        packages = LibraryPackages(ground.folder, fetcher, install_settings(settings))
        shelf = Shelf(ground.folder, fetcher, packages, reserve_bytes=self._reserve_bytes)
        self._deployments = Deployments(shelf, self._pipelines, ground.journal, group, self._reporter.changed)
        self._gatherer = Gatherer(settings, session_id, self._intake, self._board, self._deployments)
        self._cache = BlobCache(ground.blobs, self._blobs_in_use, cap_bytes=settings.blob_cache_mb * 1024 * 1024)

    def start(self) -> None:
        """Go on with what the journal holds, whether or not there is a connection, and listen."""
        log.info("agent started", extra={"edge": self._settings.edge, "generation": self._intake.generation})
        self._board.adopt()
        link = self._ground.link
        for name, work in {
            "manifest": self._follow_manifest(),
            "manifests": self._take_manifests(),
            "acknowledgements": self._take_acknowledgements(),
            "rows": self._rows.serve(),
            "rows acknowledged": self._take_row_acknowledgements(),
            "controller": self._follow_controller(),
            "connections": self._announcer.follow_connections(link, self._tell_anew),
            "contact": self._contact.follow(link),
            "events": self._outbox.serve(),
            "reports": self._reporter.serve(self._gatherer.report),
            "health of pipelines": self._deployments.watch(),
            "outcomes": Showing(link, self._pipelines, self._settings.edge).serve(),
            "blobs": self._sender.serve(),
            "blob cache": self._cache.serve(),
        }.items():
            self._group.create_task(work, name=name)

    async def stop_tasks(self) -> None:
        """Stop every running task, as far as that goes in the time there is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_STOP_S):
                await self._board.stop_with_agent()

    async def close_energy(self) -> None:
        """Measure nothing more."""
        await self._energy.close()

    async def close_pipelines(self) -> None:
        """End the pipeline workers; the broker keeps what comes for them."""
        await self._pipelines.close()

    async def _follow_manifest(self) -> None:
        async for manifest in self._intake.changes():
            self._board.apply(manifest)
            await self._deployments.apply(manifest)
            self._reporter.changed()

    async def _take_manifests(self) -> None:
        messages = await self._ground.link.subscribe_patiently(topics.MANIFEST.to(edge=self._settings.edge))
        async for _ in self._intake.serve(messages):
            self._reporter.changed()

    async def _take_acknowledgements(self) -> None:
        acks = await self._ground.link.subscribe_patiently(topics.RUN_ACKS.filter(edge=self._settings.edge))
        await self._outbox.take_acknowledgements(acks)

    async def _take_row_acknowledgements(self) -> None:
        acks = await self._ground.link.subscribe_patiently(topics.ROW_ACKS.to(edge=self._settings.edge))
        await self._rows.take_acknowledgements(acks)

    async def _follow_controller(self) -> None:
        link = self._ground.link
        messages = await link.subscribe_patiently(topics.CONTROLLER_PRESENCE.to())
        await self._announcer.follow_controller(link, messages, self._contact, self._tell_anew)

    def _tell_anew(self) -> None:
        self._outbox.send_again()
        self._rows.send_again()
        self._reporter.changed()

    def _pipelines_changed(self) -> None:
        self._deployments.look()
        self._reporter.changed()

    def _task_changed(self) -> None:
        self._outbox.wake()
        self._reporter.changed()

    def _workshop(self, fetcher: Fetcher) -> Workshop:
        return Workshop(
            edge=self._settings.edge,
            executor=self._ground.executor,
            inputs=Inputs(fetcher, reserve_bytes=self._reserve_bytes),
            blobs=self._ground.blobs,
            journal=self._ground.journal,
            secrets=self._secrets(fetcher),
            folders=self._ground.folder.tasks,
            link=self._ground.link,
            contact=self._contact,
            energy=self._energy,
            reserve_bytes=self._reserve_bytes,
            on_change=self._task_changed,
            edge_folders=self._settings.folders,
        )

    def _secrets(self, fetcher: Fetcher) -> TaskSecrets:
        settings, folder = self._settings, self._ground.folder
        owner = user() if settings.executor == "docker" else None
        folders = SecretFolders(folder.tasks, memory_folder(folder.root), owner=owner)
        return TaskSecrets(settings.edge, sealing_key(settings.sealing_key, settings.edge), fetcher, folders)

    def _blobs_in_use(self) -> Iterator[BlobRef]:
        blobs, manifest = self._ground.blobs, self._intake.current
        yield from blobs_of_tasks(self._ground.journal.tasks(), blobs)
        yield from blobs_of_pipelines(self._deployments.served(), blobs)
        if manifest is not None:
            yield from (run.spec for run in manifest.runs)
            yield from (run.secrets for run in manifest.runs if run.secrets is not None)
            yield from blobs_of_models(manifest.models, blobs)
            yield from blobs_of_pipelines(manifest.pipelines, blobs)
