"""Where a version came from, as a tree: each base model's version with what that came from in its turn."""

from sqlmodel import Session

from controller.stores.models import get_model, get_version
from schemas.errors import NotFound
from schemas.model_views import LineageView
from schemas.names import model_ref


def lineage_view(session: Session, model: str, version: int, depth: int) -> LineageView:
    """The lineage of a version, and of up to ``depth`` base models behind it. Raises NotFound."""
    get_model(session, name=model)
    get_version(session, model=model, version=version)
    return _lineage(session, model, version, depth)


def _lineage(session: Session, model: str, version: int, depth: int) -> LineageView:
    """A base that was deleted is still named: what came from it says so itself."""
    try:
        card, _ = get_version(session, model=model, version=version)
    except NotFound:
        return LineageView(model=model, version=version)
    told = LineageView(model=model, version=version, created_at=card.created_at, lineage=card.lineage)
    if card.lineage.base_model is None:
        return told
    name, number = model_ref(card.lineage.base_model)
    if depth == 0 or not isinstance(number, int):
        return told.model_copy(update={"cut": True})
    return told.model_copy(update={"base": _lineage(session, name, number, depth - 1)})
