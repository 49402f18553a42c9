"""What gates found of versions, and what people decide in their place."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from sqlmodel import Session

from controller.http.models import By, Version
from controller.http.services import Parts
from controller.models.decisions import decided
from controller.rollouts.trials import shadow_figures
from controller.stores.gates import add_result, results
from controller.stores.models import get_version
from schemas.gates import Decision, GateResult
from schemas.names import Name
from schemas.views import Page
from schemas.written import Written

router = APIRouter(tags=["models"])


class Override(Written):
    """What a person decides, and why."""

    decision: Decision
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


@router.get("/models/{name}/versions/{version}/gate")
async def gate_of(name: Name, version: Version, parts: Parts) -> Page[GateResult]:
    """All that was decided about a version, the newest first, with every number that it was decided by."""

    def look(session: Session) -> list[GateResult]:
        get_version(session, model=name, version=version)
        found = results(session, model=name, version=version)
        return [_with_progress(session, name, version, result) for result in found[:1]] + found[1:]

    return Page(items=tuple(await parts.database.read(look)))


@router.post("/models/{name}/versions/{version}/gate/override")
async def override(name: Name, version: Version, what: Override, parts: Parts, by: By = "") -> GateResult:
    """Decide in the gate's place: ``promote`` makes the version the champion, what the gate found stays beside it."""

    def save(session: Session) -> GateResult:
        card, _ = get_version(session, model=name, version=version)
        before = next(iter(results(session, model=name, version=version)), None)
        result = GateResult(
            decision=what.decision,
            reason=what.reason,
            checks=before.checks if before else (),
            champion=before.champion if before else None,
            rows=before.rows if before else 0,
            by=by or "a person",
            at=parts.clock(),
        )
        add_result(session, model=name, version=version, result=result)
        decided(session, card, result, by=result.by)
        return result

    result = await parts.database.write(save)
    parts.rollouts.look()
    return result


def _with_progress(session: Session, name: Name, version: int, newest: GateResult) -> GateResult:
    if newest.trial is None:
        return newest
    asked = shadow_figures(session, model=name, version=version).asked
    return newest.model_copy(update={"trial": newest.trial.model_copy(update={"asked": asked})})
