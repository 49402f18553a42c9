"""Writes the card of a version that a run made: its files, its metrics, and where it came from. Pure."""

from datetime import datetime

from controller.runs.steps import Run
from schemas.models import MODEL_FILE, Lineage, ModelVersion, Signature
from schemas.runs import Outputs, Started
from schemas.tasks import TaskSpec


def card_of(run: Run, task: TaskSpec, outputs: Outputs, signature: Signature, created_at: datetime) -> ModelVersion:
    """The card of a run's version, as number 1 of the job's model: its place in the registry is decided later.

    Scripts and requirements are those of the task: a run that reproduces an earlier one has that one's.
    """
    started = run.started or Started(executor="")
    lineage = Lineage(
        run_id=run.id,
        attempt=run.attempt,
        job=run.job.name,
        edge=run.edge,
        data=run.data,
        holdout=run.holdout,
        scripts={script.name: script.blob for script in task.scripts},
        requirements=task.requirements,
        executor=started.executor,
        image=started.image,
        image_digest=started.image_digest,
        environment=started.environment,
        base_model=run.base_model,
        base_version=run.base_version,
        params=run.job.params,
        reproduces=run.replays,
    )
    return ModelVersion(
        name=run.job.model,
        version=1,
        files={MODEL_FILE: outputs.model},
        additional=outputs.additional,
        signature=signature,
        metrics=outputs.metrics,
        lineage=lineage,
        curves=run.exited.progress if run.exited else None,
        created_at=created_at,
    )
