"""Images: found, pulled from a real registry's answers, and resolved to what no tag can change."""

import asyncio
import gzip
import hashlib
import io
import json
import platform
import subprocess
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from edge_agent.execution.docker_engine import DockerEngine
from edge_agent.execution.images import availability, have_image
from schemas.errors import TaskFailed
from tests.integration.workbench import IMAGE

pytestmark = pytest.mark.docker

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry(ThreadingHTTPServer):
    """Serves tiny images over the registry protocol; Docker trusts one on loopback without TLS."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.blobs: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.repository = f"127.0.0.1:{self.server_address[1]}/tide/{uuid4().hex[:8]}"

    def tag(self, tag: str, content: bytes) -> str:
        """Let a tag lead to an image with this one file; its digest."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        layer, layer_id = self._add(gzip.compress(packed.getvalue())), _digest(packed.getvalue())
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        described = {"os": "linux", "architecture": machine, "config": {}}
        config = self._add(json.dumps(described | {"rootfs": {"type": "layers", "diff_ids": [layer_id]}}).encode())
        parts = {"config": {"mediaType": CONFIG} | config, "layers": [{"mediaType": LAYER} | layer]}
        self.tags[tag] = str(
            self._add(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST} | parts).encode())["digest"]
        )
        return self.tags[tag]

    def _add(self, data: bytes) -> dict[str, object]:
        self.blobs[_digest(data)] = data
        return {"digest": _digest(data), "size": len(data)}


class _Answer(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        """Answer for a manifest by tag or digest, or for a blob."""
        name = self.path.rpartition("/")[2]
        digest = self.server.tags.get(name, name)
        data = b"{}" if self.path == "/v2/" else self.server.blobs.get(digest)
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Type", MANIFEST if "/manifests/" in self.path else "application/octet-stream")
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    do_HEAD = do_GET  # noqa: N815 - the handler's naming

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry on loopback; what was pulled from it is removed from Docker."""
    with Registry() as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()
    listed = subprocess.run(
        ["docker", "image", "ls", "--all", "--quiet", served.repository], capture_output=True, text=True, check=True
    )
    for image in set(listed.stdout.split()):
        subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=True)


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    """The real daemon."""
    if reason := await availability(IMAGE):
        pytest.skip(reason)
    engine = DockerEngine()
    yield engine
    await engine.close()


async def test_a_pulled_image_is_known_by_its_digest(engine: DockerEngine, registry: Registry) -> None:
    """What a tag led to when it was pulled is recorded by digest, and stays what it was when the tag moves on.

    (defect 17)
    """
    first = registry.tag("1", b"first")
    name, notes = f"{registry.repository}:1", list[str]()
    assert await availability(name) is None
    image = await have_image(engine, name, notes.append)
    assert notes == [f"pulling the image {name}"]
    assert image.digest == f"{registry.repository}@{first}"
    second = registry.tag("1", b"second")
    assert await have_image(engine, name, notes.append) == image
    assert len(notes) == 1
    pinned = await have_image(engine, f"{registry.repository}@{second}", notes.append)
    assert pinned.digest == pinned.name
    assert pinned.id != image.id


async def test_the_digest_is_that_of_the_named_repository(engine: DockerEngine, registry: Registry) -> None:
    """An image that is here under two names is recorded by the one that the job has."""
    for name in ("a", "b"):
        registry.tag(name, b"same")
    repositories = [f"{registry.repository}{end}" for end in ("-a", "-b")]
    images = [await have_image(engine, f"{each}:a", lambda _note: None) for each in repositories]
    assert images[0].id == images[1].id
    assert [image.digest.partition("@")[0] for image in images] == repositories
    for each in repositories:
        process = await asyncio.create_subprocess_exec("docker", "image", "rm", f"{each}:a", stdout=subprocess.DEVNULL)
        assert await process.wait() == 0


async def test_an_imported_image_is_known_by_its_id(engine: DockerEngine) -> None:
    """An image that is from no registry has no other digest than that of its content."""
    image = await have_image(engine, IMAGE, lambda _note: None)
    assert image.digest == image.id
    assert image.id.startswith("sha256:")


async def test_what_a_registry_has_not_is_told(engine: DockerEngine, registry: Registry) -> None:
    """A tag or a digest that the registry does not know is named, with what to do; so is a registry that is away."""
    missing = f"{registry.repository}@sha256:{'0' * 64}"
    for name in (f"{registry.repository}:none", missing, "127.0.0.1:9/no/such:1"):
        with pytest.raises(TaskFailed) as caught:
            await have_image(engine, name, lambda _note: None)
        said = str(caught.value)
        assert f"the image {name} is not on this machine and cannot be pulled (Docker: " in said
        assert f"`docker pull {name}`" in said
