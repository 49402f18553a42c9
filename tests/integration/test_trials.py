"""A candidate is asked beside the champion on live messages, and what edges tell of that decides about it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.models.decisions import CHAMPION
from controller.stores.database import Database, open_database
from controller.stores.gates import add_result, results
from controller.stores.models import aliases, move_alias
from schemas.gates import GateResult, PendingTrial, Trial
from tests.integration.rollout_bench import RolloutBench

SHADOW = {"model": "iris", "with": "iris@candidate"}
ASKS = Trial(messages=100, disagreement=0.1, failed=0.01, latency_ms=5)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RolloutBench]:
    """Two edges that answer with version 1, and ask version 2, which is on trial, beside it."""
    database = open_database(f"sqlite:///{tmp_path / 'control.db'}")
    made = RolloutBench(database)
    made.prepare("a", "b")
    made.deploy(shadow=SHADOW)
    made.look()
    made.settle("a", "b")
    made.look()
    put_on_trial(made)
    made.settle("a", "b")
    made.look()
    yield made
    database.close()


def put_on_trial(bench: RolloutBench, *, deploys: bool = True) -> int:
    """A new candidate that has passed everything else."""
    version = bench.model(alias="candidate")
    pending = PendingTrial(asks=ASKS, deploys=deploys)
    result = GateResult(decision="hold", reason="not in use yet", champion=1, trial=pending, at=bench.now)
    with bench.database.transaction() as session:
        add_result(session, model="iris", version=version, result=result)
    bench.look()
    return version


def tell(
    bench: RolloutBench, edge: str, agreed: int, disagreed: int = 0, failed: int = 0, mean_s: float = 0.001
) -> None:
    """Have an edge tell how its shadow did; the document's own shadow, of which this says nothing, did well."""
    notes = {"agreed": agreed, "disagreed": disagreed, "failed": failed, "mean_s": mean_s}
    own = {"agreed": 10_000, "disagreed": 0, "failed": 0, "mean_s": 0.0}
    bench.says(edge, nodes={"predict": own, "predict__shadow": notes})


def decided(database: Database, version: int = 2) -> GateResult:
    """What was decided about it last."""
    with database.transaction() as session:
        return results(session, model="iris", version=version)[0]


def champion(database: Database) -> int:
    """The version in use."""
    with database.transaction() as session:
        return next(row.version for row in aliases(session, model="iris") if row.alias == CHAMPION)


def test_enough_messages_on_all_edges_make_it_the_champion(bench: RolloutBench) -> None:
    """Until then it is held; afterwards deployments follow in the same look, and the numbers are kept."""
    assert {edge: shadow_on(bench, edge) for edge in "ab"} == {"a": 2, "b": 2}
    tell(bench, "a", 60)
    tell(bench, "b", 35, disagreed=4)
    bench.look()
    assert decided(bench.database).trial is not None
    assert champion(bench.database) == 1
    tell(bench, "b", 36, disagreed=4)
    bench.look()
    result = decided(bench.database)
    assert (result.decision, result.trial, champion(bench.database)) == ("promote", None, 2)
    assert {check.name: check.value for check in result.checks} == {
        "shadow failed": 0,
        "shadow disagreement": 0.04,
        "shadow latency_ms": pytest.approx(1),
    }
    assert "beside version 1, on 100 live messages" in result.reason
    assert bench.versions() == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("told", "decision", "reason"),
    [
        ({"agreed": 89, "disagreed": 11}, "hold", "11.00% of its answers differ, and 10.00% are allowed"),
        ({"agreed": 98, "failed": 2}, "reject", "it failed on 2.00% of the messages, and 1.00% are allowed"),
        ({"agreed": 0, "failed": 100}, "reject", "it failed on 100.00% of the messages"),
        ({"agreed": 100, "mean_s": 0.0061}, "hold", "an answer takes 6.1 ms on average, and 5 ms are allowed"),
    ],
)
def test_one_that_does_not_do_well_is_not_used(
    bench: RolloutBench, told: dict[str, int], decision: str, reason: str
) -> None:
    """One that fails is rejected; about one that differs or is slow a person decides. Once is enough."""
    tell(bench, "a", **told)
    bench.look()
    result = decided(bench.database)
    assert (result.decision, result.trial, champion(bench.database)) == (decision, None, 1)
    assert reason in result.reason
    tell(bench, "b", 1000)
    bench.look()
    assert decided(bench.database) == result


def test_what_is_told_of_something_else_does_not_count(bench: RolloutBench) -> None:
    """Not of the candidate before, not of an edge that answers with other content, not of one without a shadow."""
    before = bench.wanted("a")
    assert put_on_trial(bench) == 3
    notes = {"agreed": 1000, "disagreed": 0, "failed": 0, "mean_s": 0.001}
    bench.says("a", content=before, nodes={"predict__shadow": notes})
    bench.says("b", nodes={"predict": notes})
    bench.look()
    assert decided(bench.database, 3).trial is not None
    assert decided(bench.database, 2).trial is not None  # it is no candidate any more, so nobody decides about it
    bench.settle("a", "b")
    bench.look()
    assert shadow_on(bench, "a") == 3
    tell(bench, "a", 100)
    bench.look()
    assert (decided(bench.database, 3).decision, champion(bench.database)) == ("promote", 3)


def test_another_champion_ends_the_trial(bench: RolloutBench) -> None:
    """What was found before was found against a version that is not in use any more: a person looks at it."""
    bench.model()
    tell(bench, "a", 1000)
    bench.look()
    result = decided(bench.database)
    assert (result.decision, result.trial, champion(bench.database)) == ("hold", None, 3)
    assert "version 1, which it was tried beside, is not the champion any more" in result.reason


def test_a_person_may_use_it_before(bench: RolloutBench) -> None:
    """Its trial ends with that, and moves nothing any more."""
    with bench.database.transaction() as session:
        move_alias(session, model="iris", alias=CHAMPION, version=2, reason="go", now=bench.now, by="me")
    bench.look()
    result = decided(bench.database)
    assert (result.decision, result.trial) == ("promote", None)
    assert result.reason == "it was made the champion before its trial ended"
    assert champion(bench.database) == 2


def test_deployments_may_wait_for_a_person(bench: RolloutBench) -> None:
    """With the policy auto_promote it becomes the champion, and edges change when somebody has approved."""
    version = put_on_trial(bench, deploys=False)
    bench.settle("a", "b")
    bench.look()
    tell(bench, "a", 100)
    bench.look()
    assert champion(bench.database) == version
    assert (bench.versions(), bench.state.value) == ({"a": 1, "b": 1}, "waiting")


def shadow_on(bench: RolloutBench, edge: str) -> int:
    """The version that an edge is told to ask beside what answers."""
    wanted = bench.wanted(edge)
    assert wanted is not None
    return wanted.shadows["iris"].version
