"""Which folders of its edge a job may read: those that the agent's configuration names, and what is below them."""

from collections.abc import Iterable
from pathlib import Path

from schemas.errors import TaskFailed


def allowed_folder(wanted: str, folders: Iterable[Path]) -> Path:
    """The folder that a job's ``edge_folder`` is, without symbolic links; blocks.

    Raises:
        TaskFailed: the configuration does not allow it, or it is no folder; the message tells what to do.
    """
    try:
        real = Path(wanted).resolve(strict=True)
    except (OSError, RuntimeError):
        real = None
    allowed = [folder.resolve() for folder in folders]
    if not any((real or Path(wanted).resolve()).is_relative_to(folder) for folder in allowed):
        leads = f", which is {real}," if real not in {None, Path(wanted)} else ""
        raise TaskFailed(
            f"the job reads {wanted} (edge_folder){leads} and this edge does not allow that: name the folder, "
            "or one above it, in `folders` of the agent's configuration, and start the agent again"
        )
    if real is None or not real.is_dir():
        raise TaskFailed(f"the job reads {wanted} (edge_folder), and there is no such folder on this edge")
    return real
