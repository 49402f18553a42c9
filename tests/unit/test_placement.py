"""Which edge does a run next."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from controller.runs.dispatch import in_order
from controller.runs.placement import Place, Placement
from controller.runs.steps import Run
from schemas.jobs import JobSpec
from schemas.report import Capabilities
from schemas.runs import RunState

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
GIGABYTE = 2**30
CAN = Capabilities(executors=("process",), cpus=4, memory_bytes=8 * GIGABYTE, platform="linux-x86_64", max_tasks=2)
HALL = {"zone": "hall-2"}
ONE = Place("press-1", HALL, capabilities=CAN, load=0.5)
TWO = Place("press-2", HALL, capabilities=CAN, load=0.1)
OVEN = Place("oven-1", {"zone": "hall-3"}, capabilities=CAN)


def run(number: int = 1, /, **changes: object) -> Run:
    """A run of a job for any edge of hall 2."""
    written = {"name": f"job-{number}", "model": "iris", "scripts": ["train.py"], "edge_labels": HALL}
    job = JobSpec.model_validate(written | changes)
    at = NOW.replace(minute=number)
    return Run(id=UUID(int=number), job=job, scheduled_at=at, created_at=at, state=RunState.QUEUED, edge=job.edge or "")


def why(placement: Placement, wanting: Run) -> str:
    """Why a run finds no edge."""
    with pytest.raises(LookupError) as error:
        placement.choose(wanting)
    return str(error.value.args[0])


def test_an_edge_that_hangs_is_given_nothing() -> None:
    """An edge of which nothing was heard for as long as the job allows is not chosen, online or not."""
    patience = {"silence": {"lost_after": "20s"}}
    hangs = replace(TWO, silent_s=20.5)
    assert Placement([ONE, hangs], []).choose(run(**patience)) == "press-1"
    placement = Placement([hangs], [])
    said = "1 edge has zone=hall-2: press-2 was not heard of for over 20 s"
    assert why(placement, run(**patience)) == said
    assert placement.choose(run(silence={"lost_after": "1m"})) == "press-2"


def test_labels_choose_the_least_loaded() -> None:
    """Of the edges with the labels the one with more of its slots free is taken, then the less busy machine."""
    assert Placement([ONE, TWO, OVEN], []).choose(run()) == "press-2"
    assert Placement([ONE, TWO, OVEN], [("press-2", "other")]).choose(run()) == "press-1"
    assert Placement([replace(ONE, load=0.1), TWO], []).choose(run()) == "press-1"


def test_slots_are_counted_while_runs_are_placed() -> None:
    """Runs that are placed together do not take the same slot."""
    placement = Placement([ONE, TWO], [])
    taken = []
    for number in range(1, 5):
        taken.append(placement.choose(run(number)))
        placement.take(taken[-1], f"job-{number}")
    assert taken == ["press-2", "press-1", "press-2", "press-1"]
    assert why(placement, run(5)) == (
        "2 edges have zone=hall-2: press-1 is busy with 2 of 2 tasks: job-2, job-4, "
        "press-2 is busy with 2 of 2 tasks: job-1, job-3"
    )


def test_no_labels_mean_any_edge() -> None:
    """With an empty set of labels every edge will do."""
    assert Placement([OVEN], []).choose(run(edge_labels={})) == "oven-1"
    assert "tidemill edge add" in why(Placement([], []), run(edge_labels={}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"executor": "docker"}, "has no docker"),
        ({"limits": {"cpus": 8}}, "has 4 cpus, and 8 are asked for"),
        ({"limits": {"memory_mb": 16384}}, "has 8192 MB of memory, and 16384 are asked for"),
        ({"limits": {"gpus": 1}}, "has 0 gpus, and 1 are asked for"),
    ],
)
def test_an_edge_that_has_less_than_asked_is_not_chosen(changes: dict[str, object], reason: str) -> None:
    """What a job needs is looked at also on an edge that it names, and the reason says what is missing there."""
    named = run(**{"edge_labels": None, "edge": "press-1", **changes})
    assert why(Placement([ONE], []), named) == f"press-1 {reason}"
    assert why(Placement([ONE], []), run(**changes)) == f"1 edge has zone=hall-2: press-1 {reason}"


def test_the_reason_to_wait_names_what_keeps_each_edge() -> None:
    """Of edges that fit by their labels the reason says why none can take the run; of many it shows the first ones."""
    away = [replace(ONE, name=f"press-{number}", absence="is offline: it was never seen") for number in range(1, 8)]
    told = why(Placement([*away, OVEN], []), run())
    assert told.startswith("7 edges have zone=hall-2: press-1 is offline: it was never seen, press-2 ")
    assert told.endswith("press-5 is offline: it was never seen, and 2 more")
    assert why(Placement([OVEN], []), run()) == "no edge has zone=hall-2"


def test_an_edge_that_failed_is_tried_last() -> None:
    """A next attempt goes elsewhere if it can, and back if it must."""
    again = replace(run(), attempt=1, edge="press-2")
    assert Placement([ONE, TWO], []).choose(again) == "press-1"
    assert Placement([TWO], []).choose(again) == "press-2"


def test_the_most_urgent_goes_first() -> None:
    """Runs are placed by priority, and those of the same priority by age."""
    runs = [replace(run(number), priority=priority) for number, priority in ((3, 0), (1, 0), (2, -5), (4, 7))]
    assert [one.id.int for one in in_order(runs)] == [4, 1, 3, 2]
