"""What becomes of a version once it is decided about, by a gate or by a person: which alias stands for it."""

from sqlmodel import Session

from controller.stores.gates import add_result
from controller.stores.models import move_alias
from schemas.gates import Gate, GateResult
from schemas.models import ModelVersion

CHAMPION, CANDIDATE = "champion", "candidate"


def alias_for(card: ModelVersion, verdict: GateResult) -> str | None:
    """The champion is used; the candidate waits for a person. What only shows what was before is neither."""
    if card.lineage.reproduces is not None:
        return None
    return {"promote": CHAMPION, "hold": CANDIDATE}.get(verdict.decision)


def judged(session: Session, card: ModelVersion, verdict: GateResult, gate: Gate, *, by: str) -> None:
    """Keep what a gate found of a new version, and have the alias stand for it that this gives it. Caller commits."""
    add_result(session, model=card.name, version=card.version, result=verdict)
    decided(session, card, verdict, deploys=gate.deploys, by=by)


def decided(session: Session, card: ModelVersion, verdict: GateResult, *, by: str, deploys: bool = True) -> None:
    """Have the alias stand for a version that what was decided gives it. Caller commits."""
    if (alias := alias_for(card, verdict)) is not None:
        move_alias(
            session,
            model=card.name,
            alias=alias,
            version=card.version,
            reason=verdict.reason,
            now=verdict.at,
            by=by,
            deploys=deploys,
        )
