"""The controller fetches what an attempt left on its edge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.data.selection import Selector
from controller.runs.dispatch import Dispatcher
from controller.runs.steps import FetchOutputs
from controller.runs.task_writing import TaskWriter
from controller.runs.work import RunWork
from controller.secrets import Secrets
from controller.stores.collections import CollectionStore
from controller.stores.sources import Sources
from schemas.broker import BrokerAddress
from schemas.errors import Unreachable
from schemas.names import BlobRef
from schemas.runs import Exited, Outcome, Outputs, RunState
from tests.integration.registry_bench import Bench
from transport.blob_store import BlobDirectory
from transport.mqtt import connect
from transport.sealing import StorageKey
from transport.transfer import BlobReceiver, BlobSender


@asynccontextmanager
async def worker(bench: Bench, broker: BrokerAddress) -> AsyncIterator[tuple[RunWork, BlobDirectory]]:
    """What fetches, and the blobs of the edge press-1, which sends them."""
    store = CollectionStore(f"sqlite:///{bench.folder / 'collections.db'}")
    held = BlobDirectory(bench.folder / "edge")
    async with connect(broker, "blobs") as link, connect(broker, "press-1-blobs") as edge_link:
        sending = asyncio.create_task(BlobSender(edge_link, held, edge="press-1").serve())
        selector = Selector(store, Sources({}), bench.blobs, max_bytes=2**20, timeout_s=10)
        key = StorageKey.load_or_create(bench.folder / "secrets_key")
        secrets = Secrets(bench.database, key, bench.blobs, clock=bench.clock)
        yield (
            RunWork(
                bench.supervisor,
                TaskWriter(bench.database, selector, bench.blobs),
                bench.registry,
                Dispatcher(secrets, bench.supervisor.silent_s, clock=bench.clock),
                BlobReceiver(link, bench.blobs, me="controller"),
                bench.records,
            ),
            held,
        )
        sending.cancel()
    store.close()


async def test_outputs_that_do_not_fit_on_the_disk_now_are_waited_for(tmp_path: Path, broker: BrokerAddress) -> None:
    """A full disk of the controller's is told of and tried again: it is no end of a run that went well."""
    async with Bench.open(tmp_path, broker) as bench, worker(bench, broker) as (work, _):
        huge = Outputs(model=BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=2**60))
        exited = Exited(outcome=Outcome.OK, outputs=huge)
        run = bench.moved(bench.checking(bench.job()), state=RunState.UPLOADING, exited=exited)
        with pytest.raises(Unreachable, match=r"there is no room on the controller: .* bytes more on a disk with"):
            await work.work(run, FetchOutputs())
        assert bench.run(run.id).state is RunState.UPLOADING


async def test_a_damaged_log_costs_no_model(tmp_path: Path, broker: BrokerAddress) -> None:
    """A log that is not what its edge said, as after an error of its disk, is left out; the outputs count."""
    async with Bench.open(tmp_path, broker) as bench, worker(bench, broker) as (work, held):
        log = held.put_bytes(b"trained\n")
        place = held.path(log.digest)
        place.chmod(0o600)
        place.write_bytes(b"tr?ined\n")
        run = bench.checking(bench.job())
        assert run.exited is not None
        exited = run.exited.model_copy(update={"log": log})
        await work.work(bench.moved(run, state=RunState.UPLOADING, exited=exited), FetchOutputs())
        assert bench.run(run.id).state is RunState.CHECKING
