"""Installs requirements with a process of this machine. What a package's build does, it does as the agent's user."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from edge_agent.execution.environment_place import Place
from edge_agent.execution.environments import Installer
from edge_agent.execution.install_settings import TRUST_VARIABLES, InstallSettings
from edge_agent.execution.task_variables import for_installer
from edge_agent.execution.uv_program import VARIABLES, find_uv

OWN_PYTHON = ("process", sys.version, os.path.realpath(sys.executable))
"""What an environment for the agent's own Python is named after, beside the requirements and the platform."""


def process_installers(install: InstallSettings, downloads: Path) -> list[Installer]:
    """The ways to install on this machine, the one to try first at the front."""

    async def with_uv(place: Place, lock: int) -> int:
        downloads.mkdir(parents=True, exist_ok=True)
        return await _run(place, lock, install, ["--uv", str(uv)], {"UV_CACHE_DIR": str(downloads), **VARIABLES})

    async def with_pip(place: Place, lock: int) -> int:
        return await _run(place, lock, install, [], {})

    pip, uv = Installer("pip", with_pip), find_uv() if install.suit_uv else None
    return [Installer("uv", with_uv), pip] if uv else [pip]


async def _run(place: Place, lock: int, install: InstallSettings, more: list[str], variables: dict[str, str]) -> int:
    wheelhouse = str(install.wheelhouse.absolute()) if install.wheelhouse else ""
    arguments = install.arguments(str(place.requirements), wheelhouse)
    trusted = str(install.ca_bundle.absolute()) if install.ca_bundle else ""
    trust = dict.fromkeys(TRUST_VARIABLES, trusted) if trusted else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(place.order / "installer.py"), *more),
        *("--venv", str(place.venv), "--log", str(place.log / "install.log"), "--"),
        *(arguments if place.requirements.exists() else ()),
        stdin=subprocess.DEVNULL,
        cwd=place.folder,  # where no project's settings for uv lie
        env=for_installer() | variables | trust,
        start_new_session=True,
        pass_fds=(lock,),  # so that the place stays locked should the agent be killed meanwhile
    )
    try:
        return await process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
