"""How an edge stands to what it was told of, by what it reported last."""

from datetime import UTC, datetime

import pytest

from controller.rollouts.contents import Content
from controller.rollouts.machine import Figures
from controller.rollouts.standings import Told, told_of
from schemas.manifest import WantedModel, WantedPipeline
from schemas.names import BlobRef
from schemas.pipelines import NodeFigures
from schemas.report import (
    Capabilities,
    ModelState,
    ModelStatus,
    PipelineState,
    PipelineStatus,
    Report,
    Returned,
    SinceSwap,
)
from schemas.rollouts import EdgeState

T0 = datetime(2026, 11, 27, 12, tzinfo=UTC)
BLOB = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)
IRIS = WantedModel(name="iris", version=4, card=BLOB)
SCORING = WantedPipeline(name="scoring", version=7, spec=BLOB, content_id="new", models={"iris": IRIS})
GENERATION = 5  # of the manifest that told it


def report(
    *pipelines: PipelineStatus, models: tuple[ModelStatus, ...] = (), generation: int = GENERATION, refused: str = ""
) -> Report:
    """What an edge says."""
    return Report(
        edge="press-1",
        session_id="1",
        generation=generation,
        agent_version="1",
        started_at=T0,
        capabilities=Capabilities(executors=("process",), cpus=1, memory_bytes=1, platform="test"),
        models=models,
        pipelines=pipelines,
        disk_free_bytes=1,
        load=0,
        refused=refused,
    )


def scoring(state: PipelineState = PipelineState.LISTENING, **more: object) -> PipelineStatus:
    """What it says of the pipeline; by default, that the new content answers."""
    written = {"name": "scoring", "version": 7, "state": state, "content_id": "new", "models": {"iris": 4}, **more}
    return PipelineStatus.model_validate(written)


def stands(told: Report | None) -> Told:
    """How it stands to the pipeline."""
    return told_of(Content(pipeline=SCORING), told, generation=GENERATION)


RETURNED = Returned(content_id="new", version=7, reason="9 of 10 failed", at=T0)


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        (None, EdgeState.CHANGING, "it has not reported yet"),
        (report(), EdgeState.CHANGING, "it is on its way"),
        (report(scoring(), generation=4), EdgeState.CHANGING, "it has not taken generation 5 yet"),
        (report(generation=4, refused="bad signature"), EdgeState.CHANGING, "it refuses its manifest: bad signature"),
        (report(scoring()), EdgeState.DEPLOYED, ""),
        (report(scoring(), generation=9), EdgeState.DEPLOYED, ""),
        (report(scoring(PipelineState.IDLE, content_id="", models={})), EdgeState.DEPLOYED, ""),
        (report(scoring(PipelineState.STARTING, reason="loads")), EdgeState.CHANGING, "starting: loads"),
        (report(scoring(content_id="old", reason="fetches iris")), EdgeState.CHANGING, "fetches iris"),
        (report(scoring(content_id="other")), EdgeState.CHANGING, "it is on its way"),
        (report(scoring(PipelineState.FAILED, reason="it ended")), EdgeState.FAILED, "it ended"),
        (
            report(scoring(PipelineState.FAILED, content_id="", models={}, reason="no such library")),
            EdgeState.FAILED,
            "no such library",
        ),
        (
            report(scoring(PipelineState.DEGRADED, content_id="old", returned=RETURNED)),
            EdgeState.FAILED,
            "it went back by itself: 9 of 10 failed",
        ),
        (
            report(scoring(content_id="new", returned=RETURNED.model_copy(update={"content_id": "old"}))),
            EdgeState.DEPLOYED,
            "",
        ),
        (report(scoring(content_id="")), EdgeState.DEPLOYED, ""),
        (report(scoring(content_id="", version=6)), EdgeState.CHANGING, "it is on its way"),
        (report(scoring(content_id="", models={"iris": 3})), EdgeState.CHANGING, "it is on its way"),
        (
            report(scoring(PipelineState.DEGRADED, content_id="", models={"iris": 3}, reason="iris:4: bad file")),
            EdgeState.FAILED,
            "iris:4: bad file",
        ),
    ],
)
def test_a_pipeline_is_deployed_when_its_edge_says_that_this_content_answers(
    told: Report | None, state: EdgeState, reason: str
) -> None:
    """Since it was told of it, and not before; else the reason says what is missing (defect 29)."""
    assert stands(told)[:2] == (state, reason)


@pytest.mark.parametrize(
    ("held", "state"),
    [
        (ModelStatus(name="iris", version=4, state=ModelState.READY), EdgeState.DEPLOYED),
        (ModelStatus(name="iris", version=4, state=ModelState.FETCHING), EdgeState.CHANGING),
        (ModelStatus(name="iris", version=4, state=ModelState.FAILED), EdgeState.FAILED),
        (ModelStatus(name="iris", version=3, state=ModelState.READY), EdgeState.CHANGING),
        (ModelStatus(name="rose", version=4, state=ModelState.READY), EdgeState.CHANGING),
    ],
)
def test_a_model_is_deployed_when_its_edge_holds_that_version(held: ModelStatus, state: EdgeState) -> None:
    """Ready, and of that number."""
    assert told_of(Content(model=IRIS), report(models=(held,)), generation=GENERATION)[0] is state


def test_figures_are_those_since_the_swap_and_of_all_shadows() -> None:
    """Messages that answered or failed since this content did, and what its shadows agreed and disagreed on."""
    shadows = {"a": NodeFigures(notes={"agreed": 8, "disagreed": 2}), "b": NodeFigures(notes={"disagreed": 1})}
    swap = SinceSwap(since=T0, answered=90, failed=10, p95_s=0.25)
    status = scoring(since_swap=swap, nodes={**shadows, "c": NodeFigures(notes={"agreed": 5})})
    assert stands(report(status))[2] == Figures(messages=100, failed=10, p95_s=0.25, compared=11, disagreed=3)
    assert stands(report(scoring()))[2] == Figures()
