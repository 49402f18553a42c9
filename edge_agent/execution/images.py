"""Which image a task runs in: found on this machine or pulled, and resolved to bytes that no tag can change."""

from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.execution.docker_engine import Described, DockerEngine
from schemas.errors import TaskFailed, TidemillError


@dataclass(frozen=True, slots=True)
class Image:
    """An image of this machine."""

    name: str  # as the job or the agent's settings have it
    id: str  # of its content on this machine
    digest: str  # what its registry calls it, repository@sha256:…; its id if it is from no registry


async def have_image(engine: DockerEngine, name: str, note: Callable[[str], None]) -> Image:
    """Find the image or pull it; one that is here is not looked for anew. Name it by digest to be sure of one.

    Raises:
        TaskFailed: it is not here and cannot be pulled; the message says why and what to do.
    """
    if (described := await engine.image(name)) is None:
        note(f"pulling the image {name}")
        try:
            await engine.pull(name)
        except TaskFailed as error:
            raise TaskFailed(_no_image(name, str(error))) from error
        described = await engine.image(name)
    if described is None:
        raise TaskFailed(_no_image(name, "it vanished after the pull"))
    return Image(name, described["Id"], _digest(name, described))


async def availability(image: str) -> str | None:
    """Why tasks of this image cannot run in Docker here; None if they can."""
    engine = DockerEngine()
    try:
        if await engine.image(image) is None and not await engine.is_in_registry(image):
            return _no_image(image, "no registry has it, or none can be reached")
    except TidemillError as error:
        return str(error)
    finally:
        await engine.close()
    return None


def _digest(name: str, described: Described) -> str:
    """The digest in the repository that was named: the same image may have come from others too."""
    digests: list[str] = described.get("RepoDigests") or []
    repository = name.partition("@")[0]
    if ":" in repository.rsplit("/", 1)[-1]:
        repository = repository.rpartition(":")[0]
    named = [digest for digest in digests if digest.partition("@")[0] == repository]
    if "@" in name and name in digests:
        named = [name]
    return next(iter((*named, *digests)), str(described["Id"]))


def _no_image(image: str, why: str) -> str:
    return (
        f"the image {image} is not on this machine and cannot be pulled ({why}); bring it here with "
        f"`docker pull {image}` or `docker load`, or name another in the job (image) or the agent's settings"
    )
