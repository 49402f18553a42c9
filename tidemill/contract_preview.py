"""The environment variables that a job's scripts will find, before there is a run."""

from uuid import UUID

from edge_agent.execution import job_contract
from edge_agent.execution.docker_options import EDGE_FOLDER, TASK
from edge_agent.execution.executor import TaskKey
from schemas.jobs import JobSpec
from schemas.names import BlobRef
from schemas.tasks import TaskData, TaskHoldout, TaskSpec

_RUN = UUID(int=0)
_ANY = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=0)


def preview(job: JobSpec) -> dict[str, str]:
    """Each variable and its value in a container; what only a run knows is all zeros, and secrets are dots."""
    task = TaskSpec(
        run_id=_RUN,
        job=job.name,
        scripts=(),
        data=tuple(
            TaskData(index=index, blob=_ANY, rows=0, format=query.format)
            for index, query in enumerate(job.queries, start=1)
        ),
        holdout=TaskHoldout(blob=_ANY, rows=0, format=job.holdout.format) if job.holdout else None,
        base_model=_ANY,
        metrics=tuple(metric.name for metric in job.metrics),
        params=job.params,
        variables=job.variables,
    )
    places = {name: f"{TASK}/{place}" for name, place in job_contract.paths(task).items()}
    secrets = {use.variable_name: "•••• (its path)" if use.file else "••••" for use in job.secrets}
    folder = {"edge_folder_path": EDGE_FOLDER} if job.edge_folder else {}
    return {**places, **folder, **secrets, **job_contract.variables(TaskKey(_RUN, 1), task)}
