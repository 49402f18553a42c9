"""Has a person edit a file."""

import os
import shlex
import subprocess
from pathlib import Path

from schemas.errors import BadInput


def edit(file: Path, *, instead: str) -> None:
    """Open the file in $VISUAL, $EDITOR or vi, and wait until the person has closed it.

    Args:
        file: what is edited.
        instead: how to do without an editor, for the message.

    Raises:
        BadInput: the editor cannot be started, or ended with an error.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        subprocess.run([*shlex.split(editor), str(file)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BadInput(f"the editor failed, and nothing was changed: {error}; set EDITOR, or use {instead}") from error
