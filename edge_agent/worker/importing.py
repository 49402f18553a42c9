"""Makes installed packages importable in a pipeline's process."""

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path


def make_importable(folders: Iterable[Path]) -> None:
    """Look for modules there too, but last: what comes with Tidemill is never replaced by what a library brings."""
    sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)
    importlib.invalidate_caches()
