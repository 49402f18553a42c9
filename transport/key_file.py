"""Key files: made once, readable by their owner alone, and never half there."""

import os
from pathlib import Path


def create_key_file(path: Path, key: bytes) -> None:
    """Write a new key under another name and link it into place, unless another process was faster: its key stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass  # its key is the one
    finally:
        temporary.unlink()
