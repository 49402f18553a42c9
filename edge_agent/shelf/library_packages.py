"""Has what a pipeline's libraries require installed for the agent's own Python, in the cache that jobs use too."""

import asyncio
import hashlib
import json
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.data_folder import DataFolder
from edge_agent.execution.environment_place import key_of
from edge_agent.execution.environments import EnvironmentCache
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.process_installer import OWN_PYTHON, process_installers
from edge_agent.fetching import Fetcher
from edge_agent.patience import to_its_end
from schemas.errors import BadPayload
from schemas.manifest import WantedPipeline
from schemas.names import BlobDigest, BlobRef

LIMIT_BYTES = 1024 * 1024  # of one library's requirements


@dataclass(frozen=True, slots=True)
class _Request:
    """What is wanted of the cache; implements ``NeedsEnvironment``."""

    folder: Path
    requirements: Path
    requirements_digest: BlobDigest


class LibraryPackages:
    """One environment for each pipeline whose libraries require anything: they share a process, so they share that.

    The requirements lie in a folder beside the libraries; the environment is kept for as long as that is there.
    """

    def __init__(self, folder: DataFolder, fetcher: Fetcher, install: InstallSettings) -> None:
        self._libraries, self._fetcher, self._install = folder.libraries, fetcher, install
        self._environments = EnvironmentCache(folder.environments.absolute(), folder.tasks, install)

    async def install(self, wanted: WantedPipeline, note: Callable[[str], None]) -> tuple[Path, ...]:
        """Install them, or find them installed; the folders that the packages are in.

        Raises:
            TidemillError: they cannot be had; the message has the installers' last lines.
        """
        folder = self.folder_of(wanted)
        if folder is None:
            return ()
        parts = [await self._text(wanted.requirements[name], note) for name in sorted(wanted.requirements)]
        request = await to_its_end(asyncio.to_thread(_laid_out, folder, "\n".join(parts)))
        installers = process_installers(self._install, self._environments.room.downloads(OWN_PYTHON[0]))
        made = await self._environments.get(key_of(request, *OWN_PYTHON), request, installers, note)
        return site_packages(made.path)

    def hold(self, wanted: WantedPipeline) -> bool:
        """Whether ``install`` would find everything here."""
        folder = self.folder_of(wanted)
        if folder is None:
            return True
        file = folder / "requirements.txt"
        return file.is_file() and self._environments.holds(key_of(_request(file), *OWN_PYTHON))

    def folder_of(self, wanted: WantedPipeline) -> Path | None:
        """Where the pipeline's requirements are laid out; None: it has none."""
        if not wanted.requirements:
            return None
        needs = json.dumps(wanted.model_dump(mode="json", include={"requirements"}), sort_keys=True)
        return self._libraries / f"requirements-{hashlib.sha256(needs.encode()).hexdigest()[:32]}"

    async def _text(self, needed: BlobRef | tuple[str, ...], note: Callable[[str], None]) -> str:
        if not isinstance(needed, BlobRef):
            return "".join(f"{line}\n" for line in needed)
        try:
            return (await self._fetcher.read(needed, LIMIT_BYTES, note)).decode()
        except UnicodeDecodeError as error:
            raise BadPayload(f"a library's requirements are no text: {error}") from error


def site_packages(environment: Path) -> tuple[Path, ...]:
    """Where an environment of the agent's own Python has its packages."""
    bases = {"base": str(environment), "platbase": str(environment)}
    places = (sysconfig.get_path(name, "venv", bases) for name in ("purelib", "platlib"))
    return tuple(dict.fromkeys(Path(place) for place in places))


def _laid_out(folder: Path, text: str) -> _Request:
    file = folder / "requirements.txt"
    content = text.encode()
    if not file.is_file() or file.read_bytes() != content:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / "requirements.part"
        part.write_bytes(content)
        part.replace(file)
    return _request(file)


def _request(file: Path) -> _Request:
    return _Request(file.parent, file, f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}")
