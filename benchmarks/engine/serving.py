"""Pipelines run as an agent runs them, each in a worker process."""

from pathlib import Path

import psutil

from benchmarks.engine.subjects import document, library
from benchmarks.engine.work import Place
from edge_agent.shelf.ready import ReadyModel, ReadyPipeline
from schemas.pipelines import PipelineSpec
from tidemill.cli.pipeline_file import read_pipeline


def ready(place: Place, model: Path, folder: Path, version: int = 1) -> ReadyPipeline:
    """The pipeline with four nodes, and this version of its model."""
    return ReadyPipeline(
        place.name,
        1,
        _spec(place, folder),
        {"scorer": ReadyModel("scorer", version, model)},
        {"pipelib_press": library(folder)},
    )


def _spec(place: Place, folder: Path) -> PipelineSpec:
    file = folder / f"{place.name}.yaml"
    if not file.exists():
        file.write_text(document(place))
    spec, _ = read_pipeline(file)
    return spec


def worker_pids() -> list[int]:
    """The worker processes that this process has started."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "edge_agent.worker.pipeline_worker" in " ".join(child.cmdline())]
