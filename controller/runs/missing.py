"""Which attempts an edge has lost, although it is there: its disk was wiped, or its journal. Pure."""

import json
from collections.abc import Iterable

from controller.runs.machine import USING_EDGE
from controller.runs.steps import Run
from schemas.report import Report
from schemas.runs import RunState


def missing(runs: Iterable[Run], report: Report, *, generation: int, wanted: str) -> list[Run]:
    """The runs whose attempt should be on an edge by its own report, and is not.

    An attempt counts as missing when the edge follows the newest manifest, and that says of the attempt that it may
    only go on there: such a manifest is made after the edge has told that it has the attempt, so no report that was
    on its way meanwhile can be mistaken.

    Args:
        runs: the edge's live runs.
        report: the edge's last.
        generation: of the manifest published last.
        wanted: what it says, as JSON.
    """
    held = {(task.run_id, task.attempt) for task in report.tasks}
    kept = USING_EDGE | {RunState.UPLOADING}
    suspects = [run for run in runs if run.state in kept and (run.id, run.attempt) not in held]
    if not suspects or report.generation < generation:
        return []
    told = {(run["run_id"], run["attempt"]) for run in json.loads(wanted)["runs"] if run["resume"]}
    return [run for run in suspects if (str(run.id), run.attempt) in told]
