"""What gates, and people in their place, decided about versions, in the control database."""

from sqlmodel import Session, col, select

from controller.stores.tables import GateResultRow
from schemas.gates import GateResult


def add_result(session: Session, *, model: str, version: int, result: GateResult) -> None:
    """Keep what was decided; the newest counts. Caller commits."""
    session.add(
        GateResultRow(
            model=model,
            version=version,
            at=result.at,
            decision=result.decision,
            by=result.by,
            result=result.model_dump_json(),
        )
    )


def results(session: Session, *, model: str, version: int) -> list[GateResult]:
    """All that was decided about a version, the newest first."""
    wanted = select(GateResultRow).where(GateResultRow.model == model, GateResultRow.version == version)
    rows = session.exec(wanted.order_by(col(GateResultRow.id).desc()))
    return [GateResult.model_validate_json(row.result) for row in rows]
