"""From rows to what the API answers of models."""

from collections.abc import Callable, Mapping

from sqlalchemy import func
from sqlmodel import Session, col, select

from controller.stores.alias_moves import get_alias
from controller.stores.gates import gate_of
from controller.stores.model_changes import tags_of
from controller.stores.model_places import Place, reported
from controller.stores.models import aliases, get_model, get_version_row, list_models, version_rows
from controller.stores.tables import AliasMoveRow, AliasRow, GateResultRow, VersionRow
from schemas.model_views import AliasMoveView, AliasView, GateMark, ModelView, VersionPlace, VersionView

Places = Mapping[tuple[str, int], list[Place]]


def model_views(session: Session) -> list[ModelView]:
    """Every model, by name."""
    places = reported(session)
    return [model_view(session, row.name, places) for row in list_models(session)]


def model_view(session: Session, name: str, places: Places | None = None) -> ModelView:
    """A model with its aliases, and its versions newest first. Raises NotFound."""
    row = get_model(session, name=name)
    rows = version_rows(session, model=name)
    show = _versions(session, name, reported(session) if places is None else places)
    first = rows[-1].version if rows else 0
    return ModelView(
        name=name,
        description=row.description,
        gate=gate_of(session, model=name),
        aliases=tuple(_alias(session, alias) for alias in aliases(session, model=name)),
        versions=tuple(show(row, row.version == first) for row in rows),
    )


def version_view(session: Session, name: str, version: int) -> VersionView:
    """One version. Raises NotFound."""
    get_model(session, name=name)
    row = get_version_row(session, model=name, version=version)
    first = session.exec(select(func.min(VersionRow.version)).where(VersionRow.model == name)).one()
    return _versions(session, name, reported(session))(row, version == first)


def alias_view(session: Session, name: str, alias: str) -> AliasView:
    """One alias. Raises NotFound."""
    get_model(session, name=name)
    return _alias(session, get_alias(session, model=name, alias=alias))


def move_view(row: AliasMoveRow) -> AliasMoveView:
    """One move of an alias."""
    return AliasMoveView.model_validate(row.model_dump(exclude={"model"}))


def _alias(session: Session, row: AliasRow) -> AliasView:
    last = session.get(AliasMoveRow, row.revision)
    return AliasView(
        name=row.alias,
        version=row.version,
        previous=row.previous,
        moved_at=row.moved_at,
        reason=row.reason,
        by=last.by if last else "",
        revision=row.revision,
    )


def _versions(session: Session, model: str, places: Places) -> Callable[[VersionRow, bool], VersionView]:
    """What makes views of the versions of one model."""
    names: dict[int, list[str]] = {}
    for alias in aliases(session, model=model):
        names.setdefault(alias.version, []).append(alias.alias)
    gates = _gates(session, model)

    def view(row: VersionRow, base: bool) -> VersionView:
        more = {
            "base": base,
            "aliases": tuple(names.get(row.version, ())),
            "deployed": _deployed(places.get((model, row.version), [])),
            "gate": gates.get(row.version),
            "note": row.note,
            "tags": tags_of(row),
        }
        return VersionView.model_validate_json(row.card).model_copy(update=more)

    return view


def _deployed(places: list[Place]) -> tuple[VersionPlace, ...]:
    """An edge whose pipeline answers with a version holds it too, which need not be told."""
    answering = {place.edge for place in places if place.pipeline}
    told = [place for place in places if place.pipeline or place.edge not in answering]
    return tuple(VersionPlace(edge=place.edge, pipeline=place.pipeline) for place in told)


def _gates(session: Session, model: str) -> dict[int, GateMark]:
    wanted = select(GateResultRow).where(GateResultRow.model == model).order_by(col(GateResultRow.id))
    return {row.version: GateMark(decision=row.decision, at=row.at, by=row.by) for row in session.exec(wanted)}
