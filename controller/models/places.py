"""Where the next version of a model goes, and what it has to be better than; others may be there first."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlmodel import Session

from controller.gates.frozen_rows import FrozenRows, rows_for
from controller.stores.gates import gate_of
from controller.stores.models import next_own_model, next_version, resolve
from schemas.errors import Conflict
from schemas.gates import Gate
from schemas.models import ModelVersion

Registered = TypeVar("Registered")

_TRIES = 100  # each time another version was first, so somebody gets on


class Overtaken(Conflict):
    """Another version took the place between looking for one and taking it, or the model has another gate now."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next version goes, and what judges it there."""

    model: str
    version: int
    champion: ModelVersion | None
    gate: Gate | None = None  # of the model
    frozen: FrozenRows | None = None  # for a version that brings none; looked for only if the model's gate asks

    @property
    def numbers(self) -> dict[str, object]:
        """What a card says of its place."""
        return {"name": self.model, "version": self.version}

    def behind(self, card: ModelVersion, *, promoted: bool) -> "Place":
        """The place of the version after this one."""
        return replace(self, version=card.version + 1, champion=card if promoted else self.champion)


def place_in(session: Session, *, model: str) -> Place:
    """The place of the next version of a model."""
    return place_under(session, model=model, gate=gate_of(session, model=model))


def place_under(session: Session, *, model: str, gate: Gate | None) -> Place:
    """The same, were this the model's gate."""
    found = resolve(session, ref=model)
    champion = found[0] if found else None
    asks = gate is not None and gate.rescore is not None
    frozen = rows_for(session, model=model, champion=champion) if asks else None
    return Place(model, next_version(session, model=model), champion, gate, frozen)


def place_of_its_own(session: Session, *, model: str) -> Place:
    """The place of the first version of a new model beside this one; nothing is asked of it but what its job asks."""
    return Place(next_own_model(session, model=model), 1, None)


async def until_placed(attempt: Callable[[], Awaitable[Registered]], what: str) -> Registered:
    """Look for a place, judge and register, again and again until nobody else was there first.

    Raises:
        Conflict: others are faster; try again later.
    """
    for _ in range(_TRIES):
        try:
            return await attempt()
        except Overtaken:
            continue
    raise Conflict(f"{_TRIES} times another version of {what} was registered meanwhile")
