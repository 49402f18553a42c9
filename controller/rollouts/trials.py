"""Candidates on trial: what the shadows of deployments tell of them, and what comes of it."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlmodel import Session

from controller.gates.trials import ShadowFigures, tried
from controller.models.decisions import CANDIDATE, decided
from controller.rollouts.contents import Content
from controller.stores.edges import get_edge, report_of
from controller.stores.gates import add_result, pending_trials
from controller.stores.models import get_version, resolve
from controller.stores.rollouts import get_rollout, placements
from controller.stores.serving import get_pipeline_version, list_deployments
from schemas.gates import GateResult
from schemas.manifest import WantedPipeline
from schemas.models import ModelVersion
from schemas.names import EdgeName, Name, model_ref
from schemas.pipelines import NodeFigures, PipelineSpec

log = logging.getLogger(__name__)

AGAIN_S = 3.0  # reports are not listened for: a trial takes longer than the time between two of them


def look_at_trials(session: Session, *, now: datetime) -> datetime | None:
    """Decide about every candidate that was asked often enough; returns when to look again. Caller commits."""
    trials = pending_trials(session, alias=CANDIDATE)
    for model, version, pending in trials:
        champion = resolve(session, ref=model)
        overtaken = _overtaken(pending, version, champion[0] if champion else None, now)
        result = overtaken or tried(pending, shadow_figures(session, model=model, version=version), now)
        if result is None:
            continue
        add_result(session, model=model, version=version, result=result)
        facts = {"model": f"{model}:{version}", "decision": result.decision, "reason": result.reason}
        log.info("trial ended", extra=facts)
        if overtaken is None and pending.trial is not None:
            card, _ = get_version(session, model=model, version=version)
            decided(session, card, result, deploys=pending.trial.deploys, by=result.by or f"gate of {_job_of(card)}")
    return now + timedelta(seconds=AGAIN_S) if trials else None


def shadow_figures(session: Session, *, model: Name, version: int) -> ShadowFigures:
    """What all edges told last of a version that is asked there as a shadow of what answers now."""
    total = ShadowFigures()
    for deployment in list_deployments(session):
        if deployment.shadow is None or model_ref(deployment.shadow.candidate)[0] != model:
            continue
        contents: dict[int, Content] = {}
        for edge, placement in placements(session, deployment=deployment.name).items():
            if placement.rollout not in contents:
                row = get_rollout(session, deployment=deployment.name, number=placement.rollout)
                contents[placement.rollout] = Content.model_validate_json(row.content)
            wanted = contents[placement.rollout].pipeline
            if wanted is not None and (model, version) in {(one.name, one.version) for one in wanted.shadows.values()}:
                total = sum((_figures(one) for one in _shadow_nodes(session, edge, wanted)), total)
    return total


def _overtaken(pending: GateResult, version: int, champion: ModelVersion | None, now: datetime) -> GateResult | None:
    """What is to be said when the rival that everything was compared with is not the champion any more."""
    if champion is not None and champion.version == pending.champion:
        return None
    if champion is not None and champion.version == version:
        told: dict[str, object] = {"decision": "promote", "reason": "it was made the champion before its trial ended"}
    else:
        told = {"reason": f"version {pending.champion}, which it was tried beside, is not the champion any more"}
    return pending.model_copy(update={**told, "trial": None, "at": now})


def _shadow_nodes(session: Session, edge: EdgeName, wanted: WantedPipeline) -> Iterator[NodeFigures]:
    """What the nodes did that stand beside those of the document, if the edge answers with this very content."""
    report = report_of(get_edge(session, name=edge))
    statuses = report.pipelines if report is not None else ()
    status = next((one for one in statuses if one.content_id == wanted.content_id), None)
    if status is None:
        return
    row = get_pipeline_version(session, name=wanted.name, version=wanted.version)
    written = {node.id for node in PipelineSpec.model_validate_json(row.spec).nodes}
    yield from (figures for node, figures in status.nodes.items() if node not in written)


def _figures(node: NodeFigures) -> ShadowFigures:
    agreed, disagreed, failed = (int(node.notes.get(name, 0)) for name in ("agreed", "disagreed", "failed"))
    return ShadowFigures(agreed, disagreed, failed, node.notes.get("mean_s", 0.0) * (agreed + disagreed))


def _job_of(card: ModelVersion) -> str:
    return card.lineage.job or "its job"
