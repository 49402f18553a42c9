"""The registry's rows: models, their numbered versions, their movable aliases."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from controller.stores.alias_moves import last_to_undo, note_move
from controller.stores.tables import AliasMoveRow, AliasRow, ModelRow, VersionRow
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
    row = session.get(ModelRow, model)
    newest = session.exec(select(func.max(VersionRow.version)).where(VersionRow.model == model)).one()
    return max(newest or 0, row.last_version if row else 0) + 1


def add_version(session: Session, *, card: ModelVersion, card_blob: BlobRef, job: str | None = None) -> None:
    """Add a version; a run that registered one before cannot register another. Caller commits.

    ``job`` is the one that made it, by its present name; None for a version that a person uploaded.
    """
    model = session.get_one(ModelRow, card.name)
    model.last_version = max(model.last_version, card.version)
    session.add(model)
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
    return [ModelVersion.model_validate_json(row.card) for row in version_rows(session, model=model)]


def versions_of_file(session: Session, *, model: str, digest: str) -> list[ModelVersion]:
    """The model's versions whose ``model.onnx`` has these bytes, newest first."""
    wanted = select(VersionRow.card).where(VersionRow.model == model, VersionRow.file_digest == digest)
    cards = session.exec(wanted.order_by(col(VersionRow.version).desc()))
    return [ModelVersion.model_validate_json(card) for card in cards]


def get_version_row(session: Session, *, model: str, version: int) -> VersionRow:
    """A version with its note and tags. Raises NotFound."""
    row = session.get(VersionRow, (model, version))
    if row is None:
        raise NotFound(f"model {model!r} has no version {version}")
    return row


def version_rows(session: Session, *, model: str) -> list[VersionRow]:
    """The model's versions with their notes and tags, newest first."""
    wanted = select(VersionRow).where(VersionRow.model == model).order_by(col(VersionRow.version).desc())
    return list(session.exec(wanted))


def get_version(session: Session, *, model: str, version: int) -> tuple[ModelVersion, BlobRef]:
    """A version's card and the blob of it. Raises NotFound."""
    row = get_version_row(session, model=model, version=version)
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


def newest_with_holdout(session: Session, *, model: str) -> ModelVersion | None:
    """The model's newest version that was trained here beside rows that were kept from it; None if there is none."""
    wanted = select(VersionRow.card).where(VersionRow.model == model).order_by(col(VersionRow.version).desc())
    with session.exec(wanted) as found:
        cards = (ModelVersion.model_validate_json(card) for card in found)
        here = (card for card in cards if card.lineage.holdout is not None and not card.lineage.imported)
        return next(here, None)


def next_own_model(session: Session, *, model: str) -> str:
    """The next name of those that a job gives its own models beside ``iris``: ``iris-1``, then ``iris-2``."""
    prefix = f"{model}-"
    named = select(ModelRow.name).where(col(ModelRow.name).startswith(prefix, autoescape=True))
    numbers = [int(tail) for name in session.exec(named) if (tail := name.removeprefix(prefix)).isdecimal()]
    return f"{prefix}{max(numbers, default=0) + 1}"


def aliases(session: Session, *, model: str) -> list[AliasRow]:
    """The model's aliases, by name."""
    return list(session.exec(select(AliasRow).where(AliasRow.model == model).order_by(AliasRow.alias)))


def move_alias(  # noqa: PLR0913 - what a move is
    session: Session,
    *,
    model: str,
    alias: str,
    version: int,
    reason: str,
    now: datetime,
    by: str = "",
    deploys: bool = True,
    undoes: int | None = None,
) -> None:
    """Let an alias stand for a version: the one way in which any alias moves. Caller commits.

    Where it stands already, nothing is noted, unless what waits for approval shall be deployed now.

    Args:
        session: of the move; what followed from it is in the same transaction.
        model: whose alias it is.
        alias: made if it is new.
        version: what it shall stand for; somebody has seen that it is there.
        reason: why.
        now: when.
        by: who or what moves it, such as ``gate of retrain``.
        deploys: whether deployments that follow it do so at once; else they wait for a person's approval.
        undoes: the id of the earlier move that this one takes back.
    """
    row = session.get(AliasRow, (model, alias))
    if row is not None and row.version == version and (not deploys or _deploys(session, row)):
        return
    before = row.version if row else None
    move = AliasMoveRow(model=model, alias=alias, version=version, previous=before, at=now, by=by, reason=reason)
    move.deploys, move.undoes = deploys, undoes
    row = row or AliasRow(model=model, alias=alias, version=version, moved_at=now)
    row.version, row.reason, row.moved_at, row.revision = version, reason, now, note_move(session, move=move)
    undone = last_to_undo(session, model=model, alias=alias)
    row.previous = undone.previous if undone else None
    session.add(row)


def _deploys(session: Session, row: AliasRow) -> bool:
    last = session.get(AliasMoveRow, row.revision)
    return last is None or last.deploys
