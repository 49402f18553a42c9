"""What to do about tasks, from what should be (manifest) and what is (journal). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from edge_agent.execution.executor import TaskKey
from schemas.manifest import Manifest, WantedRun


@dataclass(frozen=True, slots=True)
class AcceptTask:
    """Take this attempt into the journal and work on it."""

    wanted: WantedRun


@dataclass(frozen=True, slots=True)
class EndTask:
    """Stop this attempt if it runs, and forget it with all it left here."""

    key: TaskKey


@dataclass(frozen=True, slots=True)
class RefuseTask:
    """Leave this attempt alone: it was passed here before."""

    wanted: WantedRun
    highest: int  # the highest attempt of its run ever taken here


ReconcileStep = AcceptTask | EndTask | RefuseTask


def task_key(wanted: WantedRun) -> TaskKey:
    """The name of a wanted attempt."""
    return TaskKey(wanted.run_id, wanted.attempt)


def steps(manifest: Manifest, held: Iterable[TaskKey], highest: Mapping[UUID, int]) -> list[ReconcileStep]:
    """The differences between a manifest and the tasks held; none when they agree.

    Args:
        manifest: what should be.
        held: the tasks in the journal, whatever their state.
        highest: for each run ever seen here, its highest attempt: the fence that no older attempt passes.

    Returns:
        Ends first, then the rest in the manifest's order.
    """
    present = set(held)
    newest = {run.run_id: run for run in sorted(manifest.runs, key=lambda run: run.attempt)}  # one attempt per run
    wanted = {task_key(run): run for run in manifest.runs if newest[run.run_id] is run}
    plan: list[ReconcileStep] = [EndTask(key) for key in sorted(present - wanted.keys(), key=str)]
    for key, run in wanted.items():
        if key in present or run.resume:
            continue
        passed = highest.get(key.run_id, 0)
        plan.append(AcceptTask(run) if key.attempt > passed else RefuseTask(run, passed))
    return plan
