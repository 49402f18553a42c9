"""The only place that knows where uv is on this machine, and how it is told things."""

import importlib
import shutil
import subprocess
from pathlib import Path

# What holds wherever it runs: it takes the Python it is given, trusts whom this machine trusts, and draws nothing.
VARIABLES = {"UV_PYTHON_DOWNLOADS": "never", "UV_SYSTEM_CERTS": "1", "UV_NO_PROGRESS": "1"}
CLEAN_TIMEOUT_S = 60.0  # an installation that uses the cache is waited for


def find_uv() -> Path | None:
    """Where the program is, if this machine has it."""
    try:
        return Path(importlib.import_module("uv").find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        return Path(found) if found else None


def empty_cache(cache: Path) -> bool:
    """Forget what was downloaded, unless an installation uses it for too long; whether that was done. Blocks."""
    if (uv := find_uv()) is None:
        return False
    try:
        subprocess.run(
            [uv, "cache", "clean", "--cache-dir", cache], capture_output=True, timeout=CLEAN_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True
