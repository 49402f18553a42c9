"""Whether the selected rows are worth a training. Pure."""

from collections.abc import Sequence

from schemas.jobs import JobSpec
from schemas.models import DataSelection


def too_little(job: JobSpec, data: Sequence[DataSelection], *, full: bool = False, waiting: str = "") -> str:
    """Why these rows are too few to train on; empty if they are not.

    With new-data-only queries their rows count, not those of the tables that they are joined with or given beside.

    Args:
        job: Whose rows they are.
        data: What its queries gave.
        full: Whether all rows were asked for, not the new ones alone.
        waiting: What keeps newer rows from being counted yet, for a person.
    """
    if not job.queries:
        return ""
    new = [selection for selection in data if selection.new_in]
    rows = sum(selection.rows for selection in new or data)
    if rows >= job.min_rows:
        return ""
    return f"{_shortage(job, new, rows, full=full)}{f'; {waiting}' if waiting else ''}"


def _shortage(job: JobSpec, new: Sequence[DataSelection], rows: int, *, full: bool) -> str:
    only_new = bool(new) and not full
    if rows == 0 and only_new:
        names = ", ".join(sorted({name for selection in new for name in selection.new_in}))
        return f"there were no new entries in collection {names} since the last training"
    if rows == 0:
        return "the job's queries gave no rows"
    return f"there were {rows} {'new ' if only_new else ''}rows, and the job asks for at least {job.min_rows}"
