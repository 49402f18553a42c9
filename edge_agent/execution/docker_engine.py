"""The only place that knows the Docker SDK: a few calls, off the event loop, with errors in our own words.

Any call raises Unreachable when the daemon does not answer, and TaskFailed when it refuses.
"""

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from schemas.errors import TaskFailed, Unreachable

CALL_TIMEOUT_S = 60
ENDED = {"exited", "dead"}  # what a container's status can be once nothing of it runs
CONFLICT = 409  # the name is taken, or the container is being removed already

Result = TypeVar("Result")
Described = dict[str, Any]  # as `docker inspect` tells it


class _Absent(TaskFailed):
    """Docker has no such container or image."""


class DockerEngine:
    """The daemon that the environment (``DOCKER_HOST``) or the default socket leads to; connected when first used."""

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None
        self._connecting = threading.Lock()

    async def container(self, ref: str) -> Described | None:
        """A container by name or id."""
        return await self._call_if_there(lambda client: _seen(lambda: client.api.inspect_container(ref)))

    async def containers(self, labels: dict[str, str]) -> list[Described]:
        """All containers with these labels, also ended ones."""
        wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
        return await self._call(lambda client: _seen(lambda: client.api.containers(all=True, filters=wanted)))

    async def create(self, options: dict[str, Any]) -> None:
        """Create a container; one of that name that is there already stays as it is."""

        def create(client: docker.DockerClient) -> None:
            try:
                client.containers.create(**options)
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise

        await self._call(create)

    async def start(self, ref: str) -> None:
        """Start a created container."""
        await self._call(lambda client: client.api.start(ref))

    async def stop(self, ref: str, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after ``grace_s``; returns when it has ended. One that is gone is no error."""
        await self._call_if_there(lambda client: client.api.stop(ref, timeout=math.ceil(grace_s)))

    async def remove(self, ref: str) -> None:
        """Kill and remove a container; one that is gone, or going, is no error."""

        def remove(client: docker.DockerClient) -> None:
            try:
                client.api.remove_container(ref, force=True, v=True)
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise

        await self._call_if_there(remove)

    async def image(self, name: str) -> Described | None:
        """An image of this machine."""
        return await self._call_if_there(lambda client: client.images.get(name).attrs)

    async def pull(self, name: str) -> None:
        """Fetch an image from its registry; without a tag, the latest."""
        repository, tag = _repository_and_tag(name)
        await self._call(lambda client: client.images.pull(repository, tag=tag))

    async def is_in_registry(self, name: str) -> bool:
        """Whether ``pull`` would find the image."""
        try:
            await self._call(lambda client: client.images.get_registry_data(name))
        except TaskFailed:
            return False
        return True

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await asyncio.to_thread(self._client.close)
            self._client = None

    async def _call(self, work: Callable[[docker.DockerClient], Result]) -> Result:
        return await asyncio.to_thread(self._blocking_call, work)

    async def _call_if_there(self, work: Callable[[docker.DockerClient], Result]) -> Result | None:
        try:
            return await self._call(work)
        except _Absent:
            return None

    def _blocking_call(self, work: Callable[[docker.DockerClient], Result]) -> Result:
        try:
            return work(self._connected())
        except NotFound as error:
            raise _Absent(f"Docker: {error.explanation}") from error
        except APIError as error:
            raise TaskFailed(f"Docker: {error.explanation or error}") from error
        except (DockerException, requests.RequestException) as error:
            raise Unreachable(f"Docker does not answer: {error}") from error

    def _connected(self) -> docker.DockerClient:
        with self._connecting:
            if self._client is None:
                self._client = docker.from_env(timeout=CALL_TIMEOUT_S)
            return self._client


def _seen(look: Callable[[], Result]) -> Result:
    """What a look at containers finds. Raises Unreachable when the daemon fails at it, as on its way down."""
    try:
        return look()
    except APIError as error:
        if error.is_server_error():
            raise Unreachable(f"Docker cannot tell: {error.explanation or error}") from error
        raise


def _repository_and_tag(name: str) -> tuple[str, str | None]:
    """Docker would pull every tag of a repository that is named without one."""
    if "@" in name:
        return name, None
    last = name.rsplit("/", 1)[-1]
    return (name, None) if ":" in last else (name, "latest")
