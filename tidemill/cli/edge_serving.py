"""How what an edge serves is shown to a person: models and pipelines, how they do, and what it went back from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.cli.output import ago

if TYPE_CHECKING:
    from schemas.report import PipelineStatus, Report


def served_lines(report: "Report") -> Iterator[str]:
    """A line for each model, and some for each pipeline."""
    for model in report.models:
        yield f"model {model.name}:{model.version} {model.state} {model.reason}".rstrip()
    for pipeline in report.pipelines:
        yield from _pipeline_lines(pipeline)


def _pipeline_lines(pipeline: "PipelineStatus") -> Iterator[str]:
    yield f"pipeline {pipeline.name}:{pipeline.version} {pipeline.state} {pipeline.reason}".rstrip()
    if (since := pipeline.since_swap) is not None:
        did = f"{since.answered} answered, {since.failed} failed, 95 % within {since.p95_s * 1000:.3g} ms"
        yield f"  answers so since {ago(since.since)}{_models(pipeline.models)}: {did}"
    if (returned := pipeline.returned) is not None:
        from_ = f"version {returned.version}{_models(returned.models)}"
        yield f"  went back from {from_} {ago(returned.at)}: {returned.reason}"


def _models(models: "dict[str, int]") -> str:
    return f" with {', '.join(f'{ref} version {number}' for ref, number in models.items())}" if models else ""
