"""Makes a virtual environment and installs requirements into it; needs Python 3.8 and nothing else.

    python -I installer.py VENV LOG [--system-packages] [pip install's arguments …]

Runs on the machine or inside an installing container, and ends with the exit code of what failed.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main(folder: Path, log: Path, arguments: list[str]) -> int:
    """Make the environment; everything that pip says goes to ``log``."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    system_packages = "--system-packages" in arguments[:1]
    pip_arguments = arguments[1:] if system_packages else arguments
    if pip_arguments and importlib.util.find_spec("ensurepip") is None:
        raise SystemExit("this Python cannot bring pip into an environment (no ensurepip): install python3-venv")
    venv.create(folder, symlinks=True, with_pip=bool(pip_arguments), system_site_packages=system_packages)
    if not pip_arguments:
        return 0
    python = str(folder / "bin" / "python")
    fixed = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-warn-script-location"]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # on disk: /tmp of a container is memory
        command = [python, "-m", "pip", "install", *fixed, *pip_arguments]
        return subprocess.run(command, env={**os.environ, "TMPDIR": scratch}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
