"""What scripts tell in numbers: metrics, progress, and the energy that they are given a part of."""

import json
from itertools import pairwise
from uuid import UUID

import pytest

from edge_agent.energy.shares import Energy, Shares
from edge_agent.execution import metrics
from edge_agent.execution.executor import TaskKey
from edge_agent.tasks.progress import EvenChoice, point
from edge_agent.tasks.task_end import with_energy
from schemas.errors import TaskFailed
from schemas.runs import Exited, Outcome, Usage


def test_nested_metrics_get_joined_names() -> None:
    """What scikit-learn's report gives can be written as it is."""
    report = {"0": {"f1-score": 0.5}, "macro avg": {"precision": 1, "support": 30.0}, "accuracy": 0.75}
    assert metrics.of_json(json.dumps(report).encode()) == {
        "_0_f1_score": 0.5,
        "macro_avg_precision": 1.0,
        "macro_avg_support": 30.0,
        "accuracy": 0.75,
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON that can be read"),
        ("[" * 100_000, "no JSON that can be read"),
        ("\xff", "no JSON that can be read"),
        ("[1]", "no JSON object"),
        ('{"loss": NaN}', "no finite number for 'loss', but 'nan'"),
        ('{"loss": 1e999}', "no finite number for 'loss'"),
        (f'{{"loss": {10**400}}}', "no finite number for 'loss'"),
        ('{"loss": "0.5"}', "no finite number for 'loss', but '0.5'"),
        ('{"good": true}', "no finite number for 'good'"),
        ('{"a b": 1, "a-b": 2}', "two metrics that would both be called 'a_b'"),
        (json.dumps({"x" * 64: 1}), "too long"),
    ],
)
def test_what_holds_no_numbers_is_told(text: str, reason: str) -> None:
    """A metrics file that cannot be used says why, and where."""
    with pytest.raises(TaskFailed, match=reason):
        metrics.of_json(text.encode("latin-1"))


def test_metrics_are_so_many_at_most() -> None:
    """They travel in one message."""
    with pytest.raises(TaskFailed, match="there are 201 metrics; at most 200 are kept"):
        metrics.check({f"m{number}": 0.0 for number in range(201)}, [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"step": 1, "loss": 0.5}', '{"step":1,"loss":0.5}'),
        ('{"step": 1, "phase": "warm up", "done": false, "loss": NaN}', '{"step":1}'),
        ('{"phase": "warm up"}', None),
        ("{}", None),
        ("[1]", None),
        ('{"step": 1', None),
        ("[" * 100_000, None),
        (json.dumps({f"m{number}": 1 for number in range(21)}), None),
    ],
)
def test_a_point_is_an_object_of_numbers(line: str, told: str | None) -> None:
    """What else stands beside the numbers is left out; a line without any is no point."""
    assert point(line) == told


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100, 1001])
def test_points_are_thinned_evenly(count: int) -> None:
    """However many come, few are kept, at even distances, with the first and the last."""
    choice = EvenChoice(most=8)
    for number in range(count):
        choice.add(str(number))
    kept = [int(number) for number in choice.points]
    assert kept[:1] + kept[-1:] == ([0, count - 1] if count else [])
    assert len(kept) <= 8
    assert count < 8 or len(kept) >= 4
    assert len({later - earlier for earlier, later in pairwise(kept[:-1])}) <= 1


def test_energy_is_told_with_the_rest_of_what_was_used() -> None:
    """What was measured beside a task is added to its use, and nothing is where nothing was measured."""
    exited = Exited(outcome=Outcome.OK, usage=Usage(cpu_s=1.0))
    assert with_energy(exited, Energy(0.5, 0.2)).usage == Usage(cpu_s=1.0, energy_kwh=0.5, co2e_kg=0.2)
    assert with_energy(exited, None) == exited


def test_tasks_that_run_at_once_share_the_energy() -> None:
    """Each moment's energy is divided evenly among those that run in it, and none is counted twice."""
    first, second = (TaskKey(UUID(int=number), 1) for number in (1, 2))
    shares = Shares()
    shares.begin(first, Energy(1.0, 10.0))
    shares.begin(second, Energy(3.0, 30.0))
    assert shares.end(first, Energy(7.0, 70.0)) == Energy(4.0, 40.0)
    assert shares.end(second, Energy(8.0, 80.0)) == Energy(3.0, 30.0)
    assert not shares.anybody
    assert shares.end(first, Energy(9.0, 90.0)) is None
