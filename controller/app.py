"""The composition root: builds the controller, serves until cancelled, closes everything in reverse."""

import asyncio
import logging
import socket
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from uuid import uuid4

from controller.brokers.access import BrokerAccess
from controller.brokers.dynamic_security import DynamicSecurity
from controller.brokers.edge_accounts import EdgeAccounts, FileAccounts
from controller.brokers.embedded import embedded_broker
from controller.brokers.user_topics import user_topics
from controller.checking.model_checks import ModelChecks
from controller.data.collected import CollectedRows
from controller.data.ingestion import Ingestion
from controller.data.query_check import QueryCheck
from controller.data.selection import Selector
from controller.enrolment import Enrolment
from controller.fleets.desk import FleetDesk
from controller.gates.gatekeeper import Gatekeeper
from controller.gates.scorer import Scorer
from controller.greeting import Greeting
from controller.http.app import create_app
from controller.http.server import address_of, open_listener, serve_http
from controller.http.services import Services
from controller.inbox import Inbox
from controller.letter_intake import LetterIntake
from controller.manifests import Manifests
from controller.models.archives import Archives
from controller.models.registry import Registry
from controller.models.uploads import Uploads
from controller.outcomes import Outcomes
from controller.retention import Retention
from controller.revocation import Revocation
from controller.rollouts.loop import Rollouts
from controller.runs.dispatch import Dispatcher
from controller.runs.records import RunRecords
from controller.runs.supervisor import Supervisor
from controller.runs.task_writing import TaskWriter
from controller.runs.ticks import Ticks
from controller.runs.triggers import Triggers
from controller.runs.work import RunWork
from controller.secrets import Secrets
from controller.settings import ControllerSettings
from controller.signing_keys import SigningKeys
from controller.stores.collections import CollectionStore
from controller.stores.database import Database, open_database
from controller.stores.serving import newest_specs
from controller.stores.sources import Sources
from controller.stores.tokens import first_token
from pipeline_runtime.installed import node_types
from schemas.errors import Unauthorized, Unreachable
from schemas.topics import CONTROLLER_PRESENCE
from schemas.views import BrokerView
from schemas.wire import ControllerPresence
from transport.blob_store import BlobDirectory
from transport.folder_lock import own_folder
from transport.mqtt import Link, connect
from transport.sealing import StorageKey
from transport.transfer import BlobReceiver, BlobSender

log = logging.getLogger(__name__)

THREADS = 32  # whoever is in one blocks: slow queries must leave some for transactions
LISTENING_S = 5.0  # for collections to subscribe; a broker that is away is waited for in the background


def utc_now() -> datetime:
    """The controller's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Storage:
    """Everything that outlives the process."""

    database: Database
    collections: CollectionStore
    sources: Sources
    blobs: BlobDirectory
    records: RunRecords
    keys: SigningKeys
    secrets_key: StorageKey


async def run(settings: ControllerSettings) -> None:
    """Build the controller and serve until cancelled.

    Raises:
        Conflict: another controller uses the data folder.
        Unreachable: the HTTP port is taken, or there is no broker to be had.
        Unauthorized: the broker refuses our credentials.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "work"))
    async with AsyncExitStack() as stack:
        stack.enter_context(own_folder(settings.data_dir, "controller"))
        listener = stack.enter_context(open_listener(settings.http_host, settings.http_port))
        await asyncio.to_thread(node_types)  # importing what packages add may take long, and what is wrong is said now
        storage = await _open_storage(stack, settings)
        broker = await _open_broker(stack, settings)
        session_id = uuid4().hex
        will = CONTROLLER_PRESENCE.pattern, ControllerPresence(online=False, session_id=session_id).to_wire()
        link = await stack.enter_async_context(connect(broker.address, "tidemill-controller", will=will, wait=False))
        blob_link = await stack.enter_async_context(connect(broker.address, "tidemill-controller-blobs", wait=False))
        controller = Controller(settings, storage, broker, link, blob_link, session_id)
        stack.push_async_callback(controller.close)
        await controller.say_where(listener)
        async with asyncio.TaskGroup() as tasks:  # one crash ends all; systemd starts us again
            # HTTP does not wait for the broker: who asks why nothing happens is told so by /readyz.
            tasks.create_task(serve_http(controller.http, listener), name="http")
            for name, serve in controller.timers().items():
                tasks.create_task(serve, name=name)
            await link.ready()
            await blob_link.ready()
            for name, serve in controller.loops().items():
                tasks.create_task(serve, name=name)


class Controller:
    """The parts, wired together."""

    def __init__(
        self,
        settings: ControllerSettings,
        storage: _Storage,
        broker: BrokerAccess,
        link: Link,
        blob_link: Link,
        session_id: str,
    ) -> None:
        database, collections, blobs = storage.database, storage.collections, storage.blobs
        rate = settings.transfer_mb_s * 1e6 if settings.transfer_mb_s else None
        self._storage, self._accounts = storage, _accounts(settings, broker, link)
        self._manifests = Manifests(database, storage.keys, link)
        self._rollouts = Rollouts(database, self._manifests, clock=utc_now)
        self._greeting = Greeting(link, self._manifests, session_id)
        self._supervisor = Supervisor(database, self._manifests, clock=utc_now)
        self._supervisor.changed.append(storage.records.follow)
        self._retention = Retention(database, blobs, storage.records)
        self._supervisor.changed.append(self._retention.note)
        self._ticks = Ticks(database, self._supervisor.wake, clock=utc_now)
        self._triggers = Triggers(database, collections, self._supervisor.wake, clock=utc_now)
        self._ticks.listeners.append(self._triggers.jobs_changed)
        self._ingestion = Ingestion(broker.address, collections)
        self._letters = LetterIntake(broker.address, database)
        outcomes = Outcomes(link)
        self._revocation = Revocation(database, self._manifests, self._supervisor, self._accounts, link, clock=utc_now)
        self._inbox = Inbox(
            link,
            database,
            self._supervisor,
            self._manifests,
            storage.records,
            outcomes,
            collected=CollectedRows(link, collections),
            clock=utc_now,
            revoked=self._revocation.names,
            on_report=self._rollouts.reported,
        )
        self._sender = BlobSender(blob_link, blobs, rate_bytes_s=rate, refused=self._revocation.names)
        receiver = BlobReceiver(blob_link, blobs, me="controller")
        self._checks = ModelChecks()
        gatekeeper = Gatekeeper(blobs, Scorer(), clock=utc_now)
        uploads = Uploads(database, blobs, self._checks, gatekeeper, clock=utc_now)
        registry = Registry(database, blobs, self._checks, gatekeeper, self._rollouts.promoted, clock=utc_now)
        secrets = Secrets(database, storage.secrets_key, blobs, clock=utc_now)
        selector = Selector(
            collections,
            storage.sources,
            blobs,
            max_bytes=settings.selection_mb * 1024 * 1024,
            timeout_s=settings.query_timeout_s,
        )
        writer = TaskWriter(database, selector, blobs)
        self._work = RunWork(
            self._supervisor,
            writer,
            registry,
            Dispatcher(secrets, self._supervisor.silent_s, clock=utc_now),
            receiver,
            storage.records,
        )
        self._services = Services(
            settings=settings,
            broker=broker.address,
            for_devices=broker.for_devices,
            clock=utc_now,
            database=database,
            collections=collections,
            blobs=blobs,
            link=link,
            supervisor=self._supervisor,
            manifests=self._manifests,
            rollouts=self._rollouts,
            keys=storage.keys,
            ticks=self._ticks,
            ingestion=self._ingestion,
            records=storage.records,
            writer=writer,
            retention=self._retention,
            uploads=uploads,
            archives=Archives(database, blobs, storage.keys, uploads, settings.trusted_keys, clock=utc_now),
            fleet=FleetDesk(
                database,
                collections,
                QueryCheck(collections, storage.sources),
                uploads,
                self._fleet_changed,
                clock=utc_now,
            ),
            revocation=self._revocation,
            enrolment=Enrolment(database, storage.keys, broker, self._accounts, clock=utc_now),
            secrets=secrets,
            outcomes=outcomes,
        )
        self.http = create_app(self._services, version("tidemill"))

    def timers(self) -> dict[str, Coroutine[None, None, None]]:
        """What makes jobs due, as long as the controller runs; no tick is missed for want of a broker."""
        return {"ticks": self._ticks.serve(), "triggers": self._triggers.serve()}

    def loops(self) -> dict[str, Coroutine[None, None, None]]:
        """What else runs side by side, once there is a broker."""
        return {
            "greeting": self._greeting.serve(),
            "manifests": self._manifests.serve(),
            "inbox": self._inbox.serve(),
            "rollouts": self._rollouts.serve(),
            "supervisor": self._supervisor.serve(self._work),
            "ingestion": self._ingestion.serve(),
            "dead letters": self._letters.serve(),
            "blobs": self._sender.serve(),
            "retention": self._retention.serve(),
            "accounts": self._keep_accounts(),
        }

    async def close(self) -> None:
        """End the processes that check models."""
        await self._checks.close()

    async def say_where(self, listener: socket.socket) -> None:
        """Tell on standard output where the API is, and the token when it is new: it is shown this once."""
        token = await self._storage.database.write(lambda session: first_token(session, now=utc_now()))
        await self._revocation.load()
        await self._look_again()
        print(f"Tidemill controller: {address_of(listener)}", flush=True)  # noqa: T201 - what the operator asked for
        if token is not None:
            print(f"API token, shown this once: {token}", flush=True)  # noqa: T201

    async def _fleet_changed(self) -> None:
        """Have every loop look at the documents again; what a device publishes from now on is taken."""
        await self._look_again()
        with suppress(TimeoutError):  # without a broker there is nobody to publish
            async with asyncio.timeout(LISTENING_S):
                for spec in await asyncio.to_thread(self._storage.collections.specs):
                    if spec.topics:
                        await self._ingestion.listening(spec)
                await self._letters.listening()

    async def _look_again(self) -> None:
        self._ticks.jobs_changed()
        self._ingestion.refresh()
        self._letters.refresh()
        await self._settle_accounts()
        self._rollouts.look()
        await self._manifests.mark_all()

    async def _keep_accounts(self) -> None:
        """Have the broker know who may use what, whenever it is reached."""
        async for _ in self._services.link.connections():
            await self._settle_accounts()

    async def _settle_accounts(self) -> None:
        if self._accounts is None:
            return
        specs = await asyncio.to_thread(self._storage.collections.specs)
        pipelines = await self._storage.database.read(newest_specs)
        try:
            await self._accounts.allow(user_topics(specs, pipelines))
            await self._revocation.finish()
        except (Unauthorized, Unreachable) as error:  # it is done when the broker is there, or lets us
            log.warning("accounts not settled", extra={"reason": str(error)})


async def _open_storage(stack: AsyncExitStack, settings: ControllerSettings) -> _Storage:
    folder = settings.data_dir
    control_url = settings.control_url or f"sqlite:///{folder / 'control.db'}"
    database = await asyncio.to_thread(open_database, control_url)
    stack.callback(database.close)
    collections_url = settings.collections_url or f"sqlite:///{folder / 'collections.db'}"
    collections = await asyncio.to_thread(CollectionStore, collections_url, settings.collections_query_url)
    stack.callback(collections.close)
    sources = Sources(settings.sources)
    blobs = BlobDirectory(folder / "blobs")
    keys = SigningKeys(folder)
    secrets_key = StorageKey.load_or_create(folder / "secrets_key")
    return _Storage(database, collections, sources, blobs, RunRecords(folder), keys, secrets_key)


async def _open_broker(stack: AsyncExitStack, settings: ControllerSettings) -> BrokerAccess:
    if settings.broker is not None:
        for_edges = settings.broker.model_copy(update={"url": settings.edge_broker_url or settings.broker.url})
        for_devices = BrokerView(kind="external", url=for_edges.url)
        return BrokerAccess(settings.broker, for_edges, for_devices)
    folder, kind, port = settings.data_dir / "broker", settings.embedded_broker, settings.embedded_broker_port
    started = await stack.enter_async_context(embedded_broker(folder, kind, port))
    return BrokerAccess(started.address, started.address, started.for_devices, accounts=started.accounts, embedded=True)


def _accounts(settings: ControllerSettings, broker: BrokerAccess, link: Link) -> EdgeAccounts | None:
    if broker.accounts is not None:
        return FileAccounts(broker.accounts, link)
    return DynamicSecurity(link) if settings.broker_accounts == "dynamic_security" else None
