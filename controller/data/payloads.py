"""Parses what devices and files send into rows of a collection, and puts aside what does not fit. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from controller.data.column_values import Value, fit, shown
from schemas.collections import CollectionSpec
from schemas.errors import BadPayload

Row = dict[str, Value]
"""Every declared column of a collection, None where the payload had nothing."""

MAX_ROW_CHARACTERS = 1024 * 1024
"""Of a row's texts together; queries can hold a few of such rows."""

SHOWN_CHARACTERS = 500  # of a rejected payload


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row, or a whole payload, that did not fit."""

    source: str  # topic, or import
    reason: str  # what is wrong and where
    payload: str  # shortened

    @classmethod
    def of(cls, source: str, reason: str, payload: bytes) -> "Rejected":
        """A reject with as much of its payload as is kept."""
        return cls(source, reason, payload[: SHOWN_CHARACTERS * 4].decode(errors="replace")[:SHOWN_CHARACTERS])


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands among a file's rows for one that is none."""

    reason: str
    text: bytes


Items = Iterable[tuple[str, object]]
"""Rows as JSON gives them, or Unreadable, not yet checked; each with the words that say where it stands."""


@dataclass(slots=True)
class Parsed:
    """The rows that fit, and the rest."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[Rejected] = field(default_factory=list)
    ignored_keys: int = 0  # keys that name no column

    def __iadd__(self, other: "Parsed") -> "Parsed":
        self.rows += other.rows
        self.rejects += other.rejects
        self.ignored_keys += other.ignored_keys
        return self


def parse_rows(payload: bytes, spec: CollectionSpec, *, max_bytes: int, source: str) -> Parsed:
    """The rows in one payload: a JSON object is one row, an array of objects is many.

    A row that does not fit is rejected alone. Keys that name no column are ignored and counted, so that a
    device whose firmware sends more than before goes on being heard. Of a key that stands twice, the last counts.
    """
    if len(payload) > max_bytes:
        reason = f"{len(payload)} bytes, and at most {max_bytes} are taken"
        return Parsed(rejects=[Rejected.of(source, reason, payload)])
    try:
        content = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return Parsed(rejects=[Rejected.of(source, f"not JSON: {error}", payload)])
    if isinstance(content, list):
        return fit_rows(((f"row {index}: ", item) for index, item in enumerate(content, start=1)), spec, source=source)
    return fit_rows([("", content)], spec, source=source)


def fit_rows(items: Items, spec: CollectionSpec, *, source: str) -> Parsed:
    """The rows among the items that fit, and the rest."""
    parsed = Parsed()
    for place, item in items:
        if isinstance(item, Unreadable):
            parsed.rejects.append(Rejected.of(source, f"{place}{item.reason}", item.text))
            continue
        try:
            row = _fit_row(item, spec)
        except BadPayload as error:
            parsed.rejects.append(Rejected(source, f"{place}{error}", shown(item, SHOWN_CHARACTERS)))
            continue
        parsed.rows.append(row)
        if isinstance(item, dict):
            parsed.ignored_keys += sum(key not in spec.columns for key in item)
    return parsed


def _fit_row(item: object, spec: CollectionSpec) -> Row:
    if not isinstance(item, dict):
        raise BadPayload(f"should be an object with the columns as keys, but is {type(item).__name__}")
    if not any(name in item for name in spec.columns):
        raise BadPayload(f"holds none of the columns {', '.join(spec.columns)}")
    row: Row = {}
    for name, column_type in spec.columns.items():
        try:
            row[name] = fit(item.get(name), column_type)
        except BadPayload as error:
            raise BadPayload(f"column {name} {error}") from error
    if sum(len(value) for value in row.values() if isinstance(value, str)) > MAX_ROW_CHARACTERS:
        raise BadPayload(f"holds more than {MAX_ROW_CHARACTERS} characters")
    missing = [name for name in spec.required if row[name] is None]
    if missing:
        raise BadPayload(f"required column {missing[0]} is {'null' if missing[0] in item else 'missing'}")
    return row
