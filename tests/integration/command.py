"""The installed `tidemill` command, run as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("tidemill")


def tidemill(*arguments: str, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end in an environment that knows no controller but the one given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    return subprocess.run(
        [str(PROGRAM), *arguments],
        env={**inherited, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), **environment},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
