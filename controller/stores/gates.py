"""Gates of models, and what gates, and people in their place, decided about versions, in the control database."""

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from controller.stores.tables import AliasRow, GateResultRow, ModelRow
from schemas.gates import Gate, GateResult
from schemas.names import Name


def gate_of(session: Session, *, model: str) -> Gate | None:
    """The gate that a model has itself; None also if there is no such model."""
    row = session.get(ModelRow, model)
    return Gate.model_validate_json(row.gate) if row is not None and row.gate is not None else None


def gates_of_models(session: Session) -> dict[str, Gate]:
    """The gates of all models that have one."""
    rows = session.exec(select(ModelRow).where(col(ModelRow.gate).is_not(None)))
    return {row.name: Gate.model_validate_json(row.gate) for row in rows if row.gate is not None}


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


def pending_trials(session: Session, *, alias: Name) -> list[tuple[Name, int, GateResult]]:
    """Model, version and newest result of each that this alias stands for, and that is still to show something."""
    other = aliased(GateResultRow)
    newest = select(func.max(other.id)).where(other.model == AliasRow.model, other.version == AliasRow.version)
    wanted = (
        select(GateResultRow)
        .join(
            AliasRow,
            (col(AliasRow.model) == col(GateResultRow.model)) & (col(AliasRow.version) == col(GateResultRow.version)),
        )
        .where(
            AliasRow.alias == alias,
            GateResultRow.decision == "hold",
            GateResultRow.id == newest.correlate(AliasRow).scalar_subquery(),
        )
    )
    found = [(row.model, row.version, GateResult.model_validate_json(row.result)) for row in session.exec(wanted)]
    return [one for one in found if one[2].trial is not None]
