"""The secrets that the agent laid out for a task's scripts."""

from __future__ import annotations

import json
from pathlib import Path


def load(folder: Path | None) -> tuple[dict[str, str], list[str]]:
    """The variables to set for the scripts, and every value to keep out of the log.

    Args:
        folder: holds ``secrets.json``, ``{"variables": {NAME: value}, "files": {FILE: NAME}}``, and ``files/FILE``;
            None: the task has no secrets.
    """
    if folder is None:
        return {}, []
    order = json.loads((folder / "secrets.json").read_text(encoding="utf-8"))
    files = {variable: folder / "files" / name for name, variable in order["files"].items()}
    values = [*order["variables"].values(), *(path.read_text(encoding="utf-8") for path in files.values())]
    return {**order["variables"], **{variable: str(path) for variable, path in files.items()}}, values
