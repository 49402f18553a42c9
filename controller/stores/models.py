"""The registry's rows: models, their numbered versions, their movable aliases."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from controller.stores.tables import AliasRow, ModelRow, VersionRow
from schemas.errors import NotFound
from schemas.models import MODEL_FILE, ModelVersion
from schemas.names import BlobRef, model_ref


def get_model(session: Session, *, name: str) -> ModelRow:
    """A model. Raises NotFound."""
    row = session.get(ModelRow, name)
    if row is None:
        raise NotFound(f"there is no model {name!r}")
    return row


def list_models(session: Session) -> list[ModelRow]:
    """Every model, by name."""
    return list(session.exec(select(ModelRow).order_by(ModelRow.name)))


def ensure_model(session: Session, *, name: str, now: datetime) -> ModelRow:
    """The model, made if it is new. Caller commits."""
    row = session.get(ModelRow, name)
    if row is None:
        row = ModelRow(name=name, created_at=now)
        session.add(row)
        session.flush()
    return row


def next_version(session: Session, *, model: str) -> int:
    """The number that a version registered now would get."""
    newest = session.exec(select(func.max(VersionRow.version)).where(VersionRow.model == model)).one()
    return (newest or 0) + 1


def add_version(session: Session, *, card: ModelVersion, card_blob: BlobRef) -> None:
    """Add a version; a run that registered one before cannot register another. Caller commits."""
    session.add(
        VersionRow(
            model=card.name,
            version=card.version,
            run_id=card.lineage.run_id,
            file_digest=card.files[MODEL_FILE].digest,
            card=card.model_dump_json(),
            card_blob=card_blob.model_dump_json(),
        )
    )
    session.flush()


def versions(session: Session, *, model: str) -> list[ModelVersion]:
    """The model's versions, newest first."""
    wanted = select(VersionRow).where(VersionRow.model == model).order_by(col(VersionRow.version).desc())
    return [ModelVersion.model_validate_json(row.card) for row in session.exec(wanted)]


def get_version(session: Session, *, model: str, version: int) -> tuple[ModelVersion, BlobRef]:
    """A version's card and the blob of it. Raises NotFound."""
    row = session.get(VersionRow, (model, version))
    if row is None:
        raise NotFound(f"model {model!r} has no version {version}")
    return ModelVersion.model_validate_json(row.card), BlobRef.model_validate_json(row.card_blob)


def resolve(session: Session, *, ref: str) -> tuple[ModelVersion, BlobRef] | None:
    """What ``iris``, ``iris@candidate`` or ``iris:3`` stands for now; None if there is no such version yet."""
    name, which = model_ref(ref)
    if isinstance(which, str):
        alias = session.get(AliasRow, (name, which))
        if alias is None:
            return None
        which = alias.version
    row = session.get(VersionRow, (name, which))
    if row is None:
        return None
    return ModelVersion.model_validate_json(row.card), BlobRef.model_validate_json(row.card_blob)


def aliases(session: Session, *, model: str) -> list[AliasRow]:
    """The model's aliases, by name."""
    return list(session.exec(select(AliasRow).where(AliasRow.model == model).order_by(AliasRow.alias)))


def move_alias(session: Session, *, model: str, alias: str, version: int, reason: str, now: datetime) -> None:
    """Let an alias stand for a version. Caller commits."""
    row = session.get(AliasRow, (model, alias)) or AliasRow(model=model, alias=alias, version=version, moved_at=now)
    row.version, row.reason, row.moved_at = version, reason, now
    session.add(row)
