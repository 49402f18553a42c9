"""What a result's columns are called and hold, for those who write them down. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.collections import CollectionSpec, ColumnType

_ADDED = {"position": ColumnType.INTEGER, "created": ColumnType.TIMESTAMP}


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One column: its key, which no other has, and its type where a declaration or a cast tells it."""

    key: str
    type: ColumnType | None = None


def result_columns(
    names: Sequence[str],
    origins: Mapping[str, str | ColumnType | None] | None = None,
    specs: Iterable[CollectionSpec] = (),
) -> list[ResultColumn]:
    """The columns of a result that has these names.

    Args:
        names: As the database tells them.
        origins: See ``CheckedQuery.origins``.
        specs: The collections that the query reads.
    """
    declared = _declared(specs)
    types = [_type(name, origins or {}, declared) for name in names]
    return [ResultColumn(key, kind) for key, kind in zip(_keys(names), types, strict=True)]


def _declared(specs: Iterable[CollectionSpec]) -> dict[str, ColumnType | None]:
    """By lower-case name; None where two collections declare different things."""
    found: dict[str, ColumnType | None] = {}
    for spec in specs:
        for name, kind in (*_ADDED.items(), *spec.columns.items()):
            found[name.lower()] = kind if found.get(name.lower(), kind) is kind else None
    return found


def _type(
    name: str, origins: Mapping[str, str | ColumnType | None], declared: Mapping[str, ColumnType | None]
) -> ColumnType | None:
    origin = origins.get(name.lower(), name)
    return origin if origin is None or isinstance(origin, ColumnType) else declared.get(origin.lower())


def _keys(names: Sequence[str]) -> list[str]:
    """A key for each name: the second ``position`` of a join becomes ``position_2``, so that none hides another."""
    keys: dict[str, None] = {}
    for name in names:
        key, number = name, 1
        while key in keys or (number > 1 and key in names):
            number += 1
            key = f"{name}_{number}"
        keys[key] = None
    return list(keys)
