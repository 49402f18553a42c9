"""From rows to what the API answers."""

from collections.abc import Mapping

from pydantic import TypeAdapter
from sqlmodel import Session

from controller.rollouts.contents import wanted_pipeline
from controller.runs.places import absence_of
from controller.runs.steps import Run
from controller.stores.edges import labels_of, list_edges, report_of
from controller.stores.runs import to_run
from controller.stores.serving import get_pipeline, get_pipeline_version, pipeline_versions
from controller.stores.tables import EdgeRow, LibraryRow, PipelineRow, RunRow
from schemas.fleet import LibrarySpec
from schemas.pipeline_views import LibraryView, PipelineVersionView, PipelineView
from schemas.pipelines import PipelineSpec
from schemas.report import PipelineStatus
from schemas.runs import ON_EDGE, RunState, RunTrigger, Usage
from schemas.views import EdgeView, RunView

_TRIGGER: TypeAdapter[RunTrigger] = TypeAdapter(RunTrigger)


def edge_view(row: EdgeRow) -> EdgeView:
    """An edge as it was last known."""
    return EdgeView(
        name=row.name,
        labels=labels_of(row),
        online=row.online,
        since=row.since,
        generation=row.generation,
        report=report_of(row),
        revoked_at=row.revoked_at,
    )


def reason_of(session: Session, run: Run) -> str:
    """Why a run is where it is, and since when its edge is away if it is on one."""
    edge = session.get(EdgeRow, run.edge) if run.state in ON_EDGE - {RunState.CHECKING} else None
    absence = absence_of(online=edge.online, since=edge.since, reported_at=edge.reported_at) if edge else ""
    return f"{run.reason}; {run.edge} {absence}" if absence else run.reason


def run_view(session: Session, row: RunRow) -> RunView:
    """A run with what is known of it so far."""
    run = to_run(row)
    exited, started = run.exited, run.started
    return RunView(
        id=run.id,
        job=run.job.name,
        state=run.state,
        reason=reason_of(session, run),
        attempt=run.attempt,
        edge=run.edge,
        trigger=_TRIGGER.validate_python(row.trigger),
        cause=row.cause,
        full=row.full,
        replays=row.replays,
        priority=row.priority,
        not_before=row.not_before,
        scheduled_at=row.scheduled_at,
        created_at=row.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        deadline=run.deadline,
        script_s=exited.script_s if exited else None,
        exit_code=exited.exit_code if exited else None,
        executor=started.executor if started else "",
        environment=started.environment if started else "",
        environment_cached=started.environment_cached if started else None,
        installer=started.installer if started else "",
        image=started.image if started else "",
        image_digest=started.image_digest if started else "",
        usage=exited.usage if exited else Usage(),
        data=run.data,
        holdout=run.holdout,
        metrics=exited.outputs.metrics if exited and exited.outputs else {},
        model=run.model or run.job.model,
        version=run.version,
        log_tail=exited.log_tail if exited else (),
    )


def pipeline_view(session: Session, name: str) -> PipelineView:
    """A pipeline, and how it does on each edge that reports it."""
    row = get_pipeline(session, name=name)
    edges: dict[str, PipelineStatus] = {}
    absent: dict[str, str] = {}
    for edge in list_edges(session):
        report = report_of(edge)
        for status in report.pipelines if report else ():
            if status.name == name:
                edges[edge.name] = status
                if absence := absence_of(online=edge.online, since=edge.since, reported_at=edge.reported_at):
                    absent[edge.name] = absence
    waits = ""
    try:
        wanted_pipeline(session, name)
    except LookupError as error:
        waits = str(error.args[0])
    return PipelineView(
        spec=PipelineSpec.model_validate_json(row.spec),
        version=row.version,
        created_at=row.created_at,
        edges=edges,
        absent=absent,
        waits=waits,
    )


def pipeline_version_views(session: Session, name: str) -> list[PipelineVersionView]:
    """A pipeline's versions, newest first. Raises NotFound."""
    running = pipeline_view(session, name).edges
    return [_version_view(row, running) for row in pipeline_versions(session, name=name)]


def pipeline_version_view(session: Session, name: str, version: int) -> PipelineVersionView:
    """One version of a pipeline. Raises NotFound."""
    row = get_pipeline_version(session, name=name, version=version)
    return _version_view(row, pipeline_view(session, name).edges)


def _version_view(row: PipelineRow, running: Mapping[str, PipelineStatus]) -> PipelineVersionView:
    return PipelineVersionView(
        spec=PipelineSpec.model_validate_json(row.spec),
        version=row.version,
        created_at=row.created_at,
        made_by=row.made_by,
        edges=tuple(edge for edge, status in running.items() if status.version == row.version),
    )


def library_view(row: LibraryRow) -> LibraryView:
    """A library's newest version."""
    return LibraryView(spec=LibrarySpec.model_validate_json(row.spec), version=row.version, created_at=row.created_at)
