"""Where the nodes of pipelines keep what must outlive their worker: a folder for each worker, in it one for each node.

<root>/<worker>/<life>/<node>/…   the same over restarts of worker and agent, as long as the pipeline is wanted
<root>/<worker>/<life>/.left      from then on; a pipeline of the same name begins another life

Nothing is ever moved: SQLite deletes files by name, and would delete those of the next life.
"""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)

_LEFT = ".left"


class StateFolders:
    """The folders below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, worker: str) -> Path:
        """The worker's folder, made if need be. Raises OSError."""
        folder = self._present(worker)
        if folder is None:
            folder = self._root / worker / uuid4().hex
            folder.mkdir(parents=True)
        return folder

    def leave(self, worker: str) -> None:
        """The worker is gone for good: nobody of that name finds again what it kept."""
        folder = self._present(worker)
        try:
            if folder is not None:
                (folder / _LEFT).touch()
        except OSError as error:
            log.warning("state not removed", extra={"worker": worker, "reason": str(error)})

    def nodes(self) -> Iterator[Path]:
        """The folder of each node that keeps something, also of workers that are gone."""
        return (folder for folder in self._root.glob("*/*/*") if folder.is_dir())

    def sweep(self, needed: Callable[[Path], bool]) -> None:
        """Remove what workers kept that are gone, unless a node's folder of it is still needed. Blocks."""
        for mark in list(self._root.glob(f"*/*/{_LEFT}")):
            life = mark.parent
            if not any(needed(folder) for folder in life.iterdir() if folder.is_dir()):
                shutil.rmtree(life, ignore_errors=True)
                with suppress(OSError):  # it has another life
                    life.parent.rmdir()

    def _present(self, worker: str) -> Path | None:
        lives = (self._root / worker).glob("*")
        return next((life for life in lives if not (life / _LEFT).exists()), None)
