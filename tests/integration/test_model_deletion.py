"""Deleting versions and models: refused while something needs them, and never the end of anything else."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlmodel import Session, select

from controller.models.lineage import lineage_view
from controller.stores.alias_moves import moves
from controller.stores.edges import add_edge
from controller.stores.model_changes import delete_model, delete_version, remove_alias
from controller.stores.models import add_version, ensure_model, get_version, move_alias, next_version
from controller.stores.serving import add_pipeline, save_deployment
from controller.stores.tables import ChangeRow, EdgeRow, GateResultRow, PlacementRow, RolloutRow
from schemas.broker import BrokerAddress
from schemas.deployments import DeploymentSpec
from schemas.errors import Conflict, NotFound
from schemas.manifest import Manifest, WantedModel, WantedPipeline
from schemas.models import MODEL_FILE, Lineage, ModelVersion, Signature
from schemas.names import BlobRef
from schemas.pipelines import PipelineSpec
from schemas.report import Capabilities, ModelState, ModelStatus, PipelineState, PipelineStatus, Report
from schemas.runs import RunState
from tests.integration.registry_bench import START, Bench

CARD = BlobRef(digest=f"sha256:{'0' * 64}", size_bytes=1)
WANTED = WantedModel(name="iris", version=2, card=CARD)
PIPELINE = WantedPipeline(name="score", version=1, spec=CARD, models={"iris": WANTED})


def add(bench: Bench, model: str, file: BlobRef, base: str | None = None) -> None:
    """A version of a model with this file."""
    with bench.database.transaction() as session:
        ensure_model(session, name=model, now=START)
        version = next_version(session, model=model)
        card = ModelVersion(
            name=model,
            version=version,
            files={MODEL_FILE: file},
            signature=Signature(inputs=(), outputs=()),
            lineage=Lineage(base_model=base),
            created_at=START,
        )
        add_version(session, card=card, card_blob=bench.blobs.put_bytes(card.model_dump_json().encode()))
        if version == 1:
            move_alias(session, model=model, alias="champion", version=1, reason="", now=START)


@pytest.fixture
async def bench(tmp_path: Path, broker: BrokerAddress) -> AsyncIterator[Bench]:
    """A registry with iris in four versions, whose newest is the champion, and one edge."""
    async with Bench.open(tmp_path, broker) as opened:
        for factor in range(4):
            add(opened, "iris", opened.model(float(factor)))
        with opened.database.transaction() as session:
            move_alias(session, model="iris", alias="champion", version=4, reason="", now=START)
            add_edge(session, name="press-1", labels={}, sealing_key="", now=START)
        yield opened


def delete(bench: Bench, version: int) -> None:
    """Delete a version of iris."""
    with bench.database.transaction() as session:
        delete_version(session, model="iris", version=version, by="a person", now=START)


def numbers(bench: Bench, model: str = "iris") -> list[int]:
    """The versions that there are."""
    return [card.version for card in bench.versions(model)]


def deployed(session: Session, ref: str = "iris:2") -> None:
    """A deployment of it."""
    save_deployment(session, spec=DeploymentSpec(name="d", edges=("press-1",), model=ref), now=START)


def piped(session: Session, ref: str = "iris:2") -> None:
    """A pipeline that asks it."""
    nodes = ({"id": "in", "type": "mqtt_sub"}, {"id": "m", "type": "model", "model": ref})
    add_pipeline(session, spec=PipelineSpec.model_validate({"name": "p", "nodes": nodes}), blob=CARD, now=START)


def reported(session: Session, *, held: bool) -> None:
    """An edge says that it holds it, or that its pipeline answers with it."""
    status = PipelineStatus(name="score", version=1, state=PipelineState.LISTENING, models={"iris": 2})
    report = Report(
        edge="press-1",
        session_id="s",
        generation=1,
        agent_version="1",
        started_at=START,
        capabilities=Capabilities(executors=(), cpus=1, memory_bytes=1, platform="linux"),
        models=(ModelStatus(name="iris", version=2, state=ModelState.READY),) if held else (),
        pipelines=() if held else (status,),
        disk_free_bytes=1,
        load=0,
    )
    session.get_one(EdgeRow, "press-1").report = report.model_dump_json()


def wanted(session: Session) -> None:
    """An edge's manifest holds it."""
    manifest = Manifest(edge="press-1", generation=1, pipelines=(PIPELINE,))
    session.get_one(EdgeRow, "press-1").wanted = manifest.model_dump_json()


def rolled_out(session: Session, *, live: bool = False, back: bool = False) -> None:
    """A rollout of it goes on, or has put it on an edge, or is what that edge would go back to."""
    row = RolloutRow(
        deployment="d",
        number=7,
        wish="{}",
        content=PIPELINE.model_dump_json(),
        plan="{}",
        state="",
        created_at=START,
        ended_at=None if live else START,
    )
    session.add(row)
    if not live:
        rollout, previous = (8, 7) if back else (7, None)
        session.add(PlacementRow(deployment="d", edge="press-1", rollout=rollout, previous=previous, placed_at=START))


NEEDS: dict[str, tuple[Callable[[Session], None], str]] = {
    "alias": (
        lambda session: move_alias(session, model="iris", alias="tried", version=2, reason="", now=START),
        "alias tried stands for it",
    ),
    "deployment": (deployed, "deployment d wants it .iris:2."),
    "pipeline": (piped, "pipeline p asks it .iris:2."),
    "held": (lambda session: reported(session, held=True), "edge press-1 holds version 2"),
    "answers": (
        lambda session: reported(session, held=False),
        "edge press-1 answers in pipeline score with version 2",
    ),
    "manifest": (wanted, "edge press-1 shall hold version 2"),
    "live rollout": (lambda session: rolled_out(session, live=True), "rollout 7 of deployment d goes on"),
    "placement": (rolled_out, "rollout 7 of deployment d put it on press-1"),
    "way back": (
        lambda session: rolled_out(session, back=True),
        "deployment d would go back to its rollout 7 on press-1",
    ),
}


@pytest.mark.parametrize("need", NEEDS)
async def test_what_is_needed_stays(bench: Bench, need: str) -> None:
    """A version that something needs is not deleted, what needs it is named, and nothing is changed (defect 27)."""
    begin, said = NEEDS[need]
    with bench.database.transaction() as session:
        begin(session)
    with pytest.raises(Conflict, match=said):
        delete(bench, 2)
    delete(bench, 3)
    assert numbers(bench) == [1, 2, 4]


async def test_bases_of_jobs_and_of_live_runs_stay(bench: Bench) -> None:
    """A version that a job has as its base, or a run that goes on, is not deleted; after both are over it is."""
    job = bench.job("other", model="other", base_model="iris:3")
    with pytest.raises(Conflict, match=r"job other has it as its base .iris:3."):
        delete(bench, 3)
    run = bench.moved(bench.queued(job), base_model="iris:2")
    bench.job("other", model="other")
    with pytest.raises(Conflict, match=f"run {run.id} of job other has it as its base .iris:2."):
        delete(bench, 2)
    bench.moved(run, state=RunState.CANCELLED, ended_at=bench.clock(), deadline=None)
    delete(bench, 2)
    delete(bench, 3)
    assert numbers(bench) == [1, 4]


async def test_all_that_needs_it_is_named(bench: Bench) -> None:
    """Whoever wants to delete is told of everything at once: a version's users, and those of a whole model."""
    bench.job("other", model="other", base_model="iris")
    bench.job("retrain")
    with bench.database.transaction() as session:
        deployed(session, "iris:4")
        piped(session, "iris@champion")
    with pytest.raises(Conflict, match="alias champion stands for it; deployment d wants it"):
        delete(bench, 4)
    with pytest.raises(Conflict) as refused, bench.database.transaction() as session:
        delete_model(session, name="iris", by="", now=START)
    for said in ("deployment d", "pipeline p asks it (iris@champion)", "job other has it as", "job retrain trains it"):
        assert said in str(refused.value)
    assert numbers(bench) == [1, 2, 3, 4]


async def test_the_base_of_a_history_goes_only_with_all_of_it(bench: Bench) -> None:
    """The oldest version is the base, which stays while its model is there."""
    with pytest.raises(Conflict, match="it is the base of the history of iris"):
        delete(bench, 1)
    with pytest.raises(NotFound, match="has no version 9"):
        delete(bench, 9)


async def test_a_number_is_given_once(bench: Bench) -> None:
    """After the newest version is deleted the next one gets a new number: no two are ever the same version."""
    with bench.database.transaction() as session:
        move_alias(session, model="iris", alias="champion", version=3, reason="", now=START)
        session.add(GateResultRow(model="iris", version=4, at=START, decision="promote", result="{}"))
    delete(bench, 4)
    add(bench, "iris", bench.model(9.0))
    assert numbers(bench) == [1, 2, 3, 5]
    with bench.database.transaction() as session:
        assert session.exec(select(GateResultRow)).all() == []
        (line,) = session.exec(select(ChangeRow).where(ChangeRow.kind == "deleted"))
        assert (line.subject, line.what, line.by) == ("model iris", "version 4 deleted", "a person")


async def test_no_other_model_is_harmed(bench: Bench) -> None:
    """Two models share a file, one is the base of the other: deleting one leaves the other whole (defect 26)."""
    shared = bench.versions()[1].files[MODEL_FILE]
    add(bench, "copy", shared, base="iris:2")
    own = bench.versions()[2].files[MODEL_FILE]
    with bench.database.transaction() as session:
        assert delete_model(session, name="iris", by="", now=START) == 4
    await bench.retention.sweep(young_s=-60)
    assert bench.blobs.has(shared.digest)
    assert not bench.blobs.has(own.digest)
    with bench.database.transaction() as session:
        card, blob = get_version(session, model="copy", version=1)
        assert json.loads(bench.blobs.read_bytes(blob.digest, blob.size_bytes)) == card.model_dump(mode="json")
        told = lineage_view(session, "copy", 1, 5)
        assert told.base is not None
        assert (told.base.model, told.base.version, told.base.created_at) == ("iris", 2, None)
        with pytest.raises(NotFound, match="no model 'iris'"):
            lineage_view(session, "iris", 1, 5)
        assert moves(session, model="iris", limit=9) == []


async def test_an_alias_that_is_followed_stays(bench: Bench) -> None:
    """An alias goes only when no deployment, pipeline or job follows it; what names a version does not count."""
    with bench.database.transaction() as session:
        move_alias(session, model="iris", alias="tried", version=2, reason="", now=START)
        deployed(session, "iris@tried")
        piped(session, "iris:2")
    bench.job("other", model="other", base_model="iris@champion")
    for alias, said in (("tried", "deployment d wants it"), ("champion", "job other has it as its base")):
        with pytest.raises(Conflict, match=said), bench.database.transaction() as session:
            remove_alias(session, model="iris", alias=alias, reason="", by="", now=START)
    with bench.database.transaction() as session:
        deployed(session, "iris:2")
        remove_alias(session, model="iris", alias="tried", reason="", by="", now=START)


async def test_a_refused_deletion_changes_nothing_on_the_way(bench: Bench) -> None:
    """What is deleted in one transaction with something refused is there as before (defect 27)."""

    def both() -> None:
        with bench.database.transaction() as session:
            for version in (2, 4):
                delete_version(session, model="iris", version=version, by="", now=START)

    with pytest.raises(Conflict, match="version 4 of iris is not deleted"):
        both()
    assert numbers(bench) == [1, 2, 3, 4]
