"""How an edge stands to what a deployment wants there, by what it reported last. Pure."""

from controller.rollouts.contents import Content
from controller.rollouts.machine import Figures
from schemas.manifest import WantedModel, WantedPipeline
from schemas.report import ModelState, PipelineState, PipelineStatus, Report
from schemas.rollouts import EdgeState

Told = tuple[EdgeState, str, Figures]
"""How far it is, why, and how the content has done."""

_NOTHING = Figures()


def told_of(content: Content, report: Report | None, *, generation: int) -> Told:
    """How far an edge is with content of which it is told since its manifest of this generation."""
    if report is None:
        return EdgeState.CHANGING, "it has not reported yet", _NOTHING
    if report.generation < generation:  # whatever it says is of something else, or of the same at another time
        return EdgeState.CHANGING, _not_yet(report, generation), _NOTHING
    if content.pipeline is not None:
        return _pipeline(content.pipeline, report, generation)
    if content.model is not None:
        return _model(content.model, report, generation)
    raise AssertionError("content without anything in it")


def has_taken(report: Report | None, generation: int) -> bool:
    """Whether an edge knows of what it is told since its manifest of this generation, be it that it refuses it."""
    return report is not None and (report.generation >= generation or bool(report.refused))


def _model(model: WantedModel, report: Report, generation: int) -> Told:
    held = next((one for one in report.models if (one.name, one.version) == (model.name, model.version)), None)
    if held is None:
        return EdgeState.CHANGING, _not_yet(report, generation), _NOTHING
    states = {ModelState.READY: EdgeState.DEPLOYED, ModelState.FAILED: EdgeState.FAILED}
    return states.get(held.state, EdgeState.CHANGING), held.reason, _NOTHING


def _pipeline(wanted: WantedPipeline, report: Report, generation: int) -> Told:
    status = next((one for one in report.pipelines if one.name == wanted.name), None)
    if status is None:
        return EdgeState.CHANGING, _not_yet(report, generation), _NOTHING
    returned = status.returned
    if returned is not None and returned.content_id == wanted.content_id:
        return EdgeState.FAILED, f"it went back by itself: {returned.reason}", _NOTHING
    if status.state is PipelineState.DEGRADED and not status.content_id:  # so says an agent that never goes back
        return EdgeState.FAILED, status.reason, _NOTHING
    if not _answers(wanted, status):
        return EdgeState.CHANGING, status.reason or _not_yet(report, generation), _NOTHING
    if status.state in {PipelineState.LISTENING, PipelineState.IDLE}:
        return EdgeState.DEPLOYED, "", _figures(status)
    if status.state is PipelineState.FAILED:
        return EdgeState.FAILED, status.reason, _figures(status)
    return EdgeState.CHANGING, f"{status.state}: {status.reason}".rstrip(": "), _figures(status)


def _answers(wanted: WantedPipeline, status: PipelineStatus) -> bool:
    """Whether it is what answers there; an agent of before content had names tells versions only."""
    if status.content_id:
        return status.content_id == wanted.content_id
    models = {ref: model.version for ref, model in wanted.models.items()}
    answers = status.version == wanted.version and (status.models == models or status.state is PipelineState.IDLE)
    return answers or (status.state is PipelineState.FAILED and status.version == wanted.version)


def _figures(status: PipelineStatus) -> Figures:
    swap = status.since_swap
    if swap is None:
        return _NOTHING
    notes = [figures.notes for figures in status.nodes.values() if "disagreed" in figures.notes]
    disagreed = int(sum(note["disagreed"] for note in notes))
    return Figures(
        messages=swap.answered + swap.failed,
        failed=swap.failed,
        p95_s=swap.p95_s,
        compared=disagreed + int(sum(note.get("agreed", 0) for note in notes)),
        disagreed=disagreed,
    )


def _not_yet(report: Report, generation: int) -> str:
    if report.refused:
        return f"it refuses its manifest: {report.refused}"
    return f"it has not taken generation {generation} yet" if report.generation < generation else "it is on its way"
