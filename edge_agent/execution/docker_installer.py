"""Installs requirements in a container of the image that they are for.

What a package's build or an image's own start-up files do, they do shut in. uv's downloads are kept for the next
installation for the same image, in a folder that the container may write to. So that no package can put anything there
that another job would get, uv may not build any beside it; what has to be built, pip builds in a container without it.
"""

import asyncio
from pathlib import Path

from edge_agent.execution.container_user import give
from edge_agent.execution.docker_engine import ENDED, DockerEngine
from edge_agent.execution.docker_options import Options, installer_options, with_downloads
from edge_agent.execution.environment_place import Place
from edge_agent.execution.environments import Installer
from edge_agent.execution.install_settings import InstallSettings, has_options
from edge_agent.execution.uv_program import find_uv
from schemas.errors import TaskFailed

LOOK_S = 0.1


def docker_installers(
    engine: DockerEngine, install: InstallSettings, image_id: str, requirements: Path | None, downloads: Path
) -> list[Installer]:
    """The ways to install for an image, the one to try first at the front.

    Args:
        engine: the daemon.
        install: the agent's settings.
        image_id: whose Python it is for.
        requirements: the file, None if there are none.
        downloads: kept for this image alone: an image's Python writes to it.
    """
    uv = find_uv() if install.suit_uv and requirements is not None else None

    async def with_uv(place: Place, _lock: int) -> int:
        kept = None if has_options(place.requirements.read_text(encoding="utf-8", errors="replace")) else downloads
        if kept is not None:
            kept.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(give, [kept])
        options = installer_options(place, image_id, install, uv)
        return await _run(engine, place, with_downloads(options, kept))

    async def with_pip(place: Place, _lock: int) -> int:
        return await _run(engine, place, installer_options(place, image_id, install))

    pip = Installer("pip", with_pip)
    return [Installer("uv", with_uv), pip] if uv else [pip]


async def _run(engine: DockerEngine, place: Place, options: Options) -> int:
    """One that a killed agent left is replaced, and so needs not to inherit the place's lock."""
    name = options["name"]
    await engine.remove(name)
    await asyncio.to_thread(give, [place.venv, place.log])
    try:
        await engine.create(options)
        await engine.start(name)
        while (found := await engine.container(name)) is not None:
            if found["State"]["Status"] in ENDED:
                return int(found["State"]["ExitCode"])
            await asyncio.sleep(LOOK_S)
        raise TaskFailed(f"the installing container {name} was removed by somebody")
    finally:
        await engine.remove(name)
