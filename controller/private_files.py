"""Writes files that hold secrets: readable by the controller's user alone, and never half there."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Put a text in place of what the file held."""
    part = path.with_name(f"{path.name}.part")
    part.touch(mode=0o600)
    part.chmod(0o600)
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
