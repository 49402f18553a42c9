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


def add_version(session: Session, *, card: ModelVersion, card_blob: BlobRef, job: str | None = None) -> None:
    """Add a version; a run that registered one before cannot register another. Caller commits.

    ``job`` is the one that made it, by its present name; None for a version that a person uploaded.
    """
    session.add(
        VersionRow(
            model=card.name,
            version=card.version,
            run_id=card.lineage.run_id,
            job=job,
            created_at=card.created_at,
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


def last_of_job(session: Session, *, job: str) -> ModelVersion | None:
    """The version that a job made last, in whichever model: the next run goes on from its additional outputs.

    One that only reproduced an earlier run does not count.
    """
    wanted = select(VersionRow.card).where(VersionRow.job == job)
    newest_first = wanted.order_by(col(VersionRow.created_at).desc(), col(VersionRow.version).desc())
    with session.exec(newest_first) as found:
        cards = (ModelVersion.model_validate_json(card) for card in found)
        return next((card for card in cards if card.lineage.reproduces is None), None)


def next_own_model(session: Session, *, model: str) -> str:
    """The next name of those that a job gives its own models beside ``iris``: ``iris-1``, then ``iris-2``."""
    prefix = f"{model}-"
    named = select(ModelRow.name).where(col(ModelRow.name).startswith(prefix, autoescape=True))
    numbers = [int(tail) for name in session.exec(named) if (tail := name.removeprefix(prefix)).isdecimal()]
    return f"{prefix}{max(numbers, default=0) + 1}"


def aliases(session: Session, *, model: str) -> list[AliasRow]:
    """The model's aliases, by name."""
    return list(session.exec(select(AliasRow).where(AliasRow.model == model).order_by(AliasRow.alias)))


def move_alias(session: Session, *, model: str, alias: str, version: int, reason: str, now: datetime) -> None:
    """Let an alias stand for a version. Caller commits."""
    row = session.get(AliasRow, (model, alias)) or AliasRow(model=model, alias=alias, version=version, moved_at=now)
    if row.version != version:
        row.previous = row.version  # where one would roll back to
    row.version, row.reason, row.moved_at = version, reason, now
    session.add(row)
