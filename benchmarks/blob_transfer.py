"""How fast blobs travel over MQTT, against the same file over HTTP in the same run.

Each end is a process of its own, as on real machines; both receivers hash what comes and write it to the disk.
Run: ``python -m benchmarks.blob_transfer [--size-mb 200] [--rounds 3] [--json result.json]``
"""

import argparse
import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from schemas.broker import BrokerAddress
from schemas.names import BlobRef
from tests.conftest import Mosquitto, free_port
from transport.blob_store import BlobDirectory
from transport.mqtt import Link, connect
from transport.transfer import BlobReceiver, BlobSender

EDGE = "bench"


async def serve_blobs(url: str, folder: Path, edge: str | None) -> None:
    """The sender's process."""
    async with connect(BrokerAddress(url=url), f"sender-{edge}") as link:
        await BlobSender(link, BlobDirectory(folder), edge=edge).serve()


@contextmanager
def process(*command: str) -> Iterator[None]:
    """Another Python, ended with the block."""
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        child.wait(10)


async def over_mqtt(url: str, source: Path, target: Path, ref: BlobRef, *, to_edge: bool) -> dict[str, float]:
    """Megabytes per second of one pull, and how long small messages took on another link meanwhile."""
    with process("-m", "benchmarks.blob_transfer", "--send", url, str(source), *([] if to_edge else [EDGE])):
        async with connect(BrokerAddress(url=url), "receiver") as link, probing(url) as trips_ms:
            store = BlobDirectory(target)
            receiver = BlobReceiver(link, store, me="edge" if to_edge else "controller")
            probe = BlobDirectory(source).put_bytes(b"is the sender there?")
            await receiver.fetch(EDGE, probe)
            trips_ms.clear()
            started_s = time.perf_counter()
            await receiver.fetch(EDGE, ref)
            took_s = time.perf_counter() - started_s
            p99_ms = statistics.quantiles(trips_ms, n=100)[98] if len(trips_ms) > 1 else float("nan")
            for digest in (ref.digest, probe.digest):
                store.delete(digest)
    return {"mb_s": ref.size_bytes / took_s / 1e6, "small_p99_ms": p99_ms}


@asynccontextmanager
async def probing(url: str) -> AsyncIterator[list[float]]:
    """Measure round trips of small messages on a link of their own for the length of the block."""
    trips_ms: list[float] = []
    async with connect(BrokerAddress(url=url), "control") as link:
        task = asyncio.create_task(probe(link, trips_ms))
        try:
            yield trips_ms
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def probe(link: Link, trips_ms: list[float]) -> None:
    """One round trip every ten milliseconds."""
    echoes = await link.subscribe("bench/echo")
    while True:
        started_s = time.perf_counter()
        await link.publish("bench/echo", b"small")
        await anext(echoes)
        trips_ms.append((time.perf_counter() - started_s) * 1e3)
        await asyncio.sleep(0.01)


async def over_http(port: int, ref: BlobRef, target: Path) -> float:
    """Megabytes per second of one download, hashed and written."""
    async with httpx.AsyncClient(trust_env=False) as client:
        started_s = time.perf_counter()
        digest = hashlib.sha256()
        async with client.stream("GET", f"http://127.0.0.1:{port}/") as response:
            with target.open("wb") as file:
                async for piece in response.aiter_bytes(1024 * 1024):
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        took_s = time.perf_counter() - started_s
    target.unlink()
    assert f"sha256:{digest.hexdigest()}" == ref.digest
    return ref.size_bytes / took_s / 1e6


async def wait_for_http(port: int) -> None:
    """Return when the server answers."""
    for _ in range(100):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)


def serve_http(path: str, port: int) -> None:
    """The HTTP server's process: one file."""
    import uvicorn  # noqa: PLC0415 - only this process needs it
    from starlette.responses import FileResponse  # noqa: PLC0415

    uvicorn.run(FileResponse(path), port=port, log_level="error")


async def measure(folder: Path, size_bytes: int, rounds: int) -> dict[str, Any]:
    """All ways, in turns, so that whatever else the machine does hits each alike."""
    broker = Mosquitto(folder)
    broker.start()
    source, port = folder / "source", free_port()
    store = BlobDirectory(source)
    with store.writer() as writer:
        for _ in range(size_bytes // 1_000_000):
            writer.write(os.urandom(1_000_000))
        ref = writer.commit()
    samples: dict[str, list[float]] = {"http": [], "to_edge": [], "to_controller": [], "small_p99_ms": []}
    url = broker.address.url
    try:
        with process("-m", "benchmarks.blob_transfer", "--http", str(store.path(ref.digest)), str(port)):
            await wait_for_http(port)
            for _ in range(rounds):
                samples["http"].append(await over_http(port, ref, folder / "download"))
                for to_edge in (True, False):
                    result = await over_mqtt(url, source, folder / "target", ref, to_edge=to_edge)
                    samples["to_edge" if to_edge else "to_controller"].append(result["mb_s"])
                    samples["small_p99_ms"].append(result["small_p99_ms"])
    finally:
        broker.kill()
    medians = {name: round(statistics.median(values), 1) for name, values in samples.items()}
    return {"size_mb": size_bytes / 1e6, "rounds": rounds, "median": medians, "samples": samples}


def main() -> None:
    """Measure and print, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--send", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--http", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        url, folder, *edge = options.send
        asyncio.run(serve_blobs(url, Path(folder), edge[0] if edge else None))
    elif options.http:
        serve_http(options.http[0], int(options.http[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            result = asyncio.run(measure(Path(folder), options.size_mb * 1_000_000, options.rounds))
        median = result["median"]
        print(f"{'way':<28}{'MB/s':>8}{'of HTTP':>10}")
        for name in ("http", "to_edge", "to_controller"):
            print(f"{name:<28}{median[name]:>8.0f}{median[name] / median['http']:>10.2f}")
        print(f"small messages meanwhile, round trip p99: {median['small_p99_ms']:.1f} ms")
        text = json.dumps(result)
        options.json.write_text(text) if options.json else print(text)


if __name__ == "__main__":
    main()
