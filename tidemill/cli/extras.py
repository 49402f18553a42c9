"""Imports what only one command needs, and says which extra to install when a library is missing."""

import importlib
from types import ModuleType

from schemas.errors import TidemillError

OURS = ("schemas", "transport", "pipeline_runtime", "edge_agent", "controller", "tidemill")


def load(module: str, *, extra: str) -> ModuleType:
    """Import one of our modules now: an agent never imports the controller's libraries."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in OURS:
            raise
        raise TidemillError(
            f"the library {error.name} is not installed here; install it with: pip install 'tidemill[{extra}]'"
        ) from error
