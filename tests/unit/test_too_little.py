"""Whether the selected rows are enough to train on."""

import pytest

from controller.runs.too_little import too_little
from schemas.jobs import JobSpec
from schemas.models import DataSelection
from schemas.names import BlobRef

BLOB = BlobRef(digest="sha256:" + "0" * 64, size_bytes=2)


def job(min_rows: int = 1) -> JobSpec:
    """A job with some query; which one does not matter here."""
    written = {"name": "j", "model": "m", "edge": "e", "scripts": ["s.py"], "queries": [{"query": "SELECT 1"}]}
    return JobSpec.model_validate({**written, "min_rows": min_rows})


def selected(rows: int, new_of: str | None = None) -> DataSelection:
    """What a query gave: new rows of a collection, or any rows."""
    return DataSelection(query="SELECT 1", new_in=(new_of,) if new_of else (), rows=rows, blob=BLOB)


@pytest.mark.parametrize(
    ("data", "min_rows", "reason"),
    [
        ([selected(5, "events")], 1, ""),
        ([selected(0, "events")], 1, "there were no new entries in collection events since the last training"),
        ([selected(0, "events"), selected(900)], 1, "there were no new entries in collection events since"),
        ([selected(0, "events"), selected(3, "faults")], 1, ""),
        ([selected(4, "events"), selected(900)], 5, "there were 4 new rows, and the job asks for at least 5"),
        ([selected(0)], 1, "the job's queries gave no rows"),
        ([selected(4)], 5, "there were 4 rows, and the job asks for at least 5"),
    ],
)
def test_only_new_rows_count_where_new_rows_are_asked_for(
    data: list[DataSelection], min_rows: int, reason: str
) -> None:
    """A table that is given whole beside the new rows does not make a tick worth training."""
    found = too_little(job(min_rows), data)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_a_job_without_queries_always_trains() -> None:
    """Its data comes from elsewhere."""
    assert too_little(job().model_copy(update={"queries": ()}), []) == ""
