"""Where two JSON values differ."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import orjson


class Nothing(Enum):
    """What stands where there is no value."""

    ABSENT = "absent"


ABSENT: Final = Nothing.ABSENT


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may be apart and still count as the same; one of the two is enough."""

    absolute: float = 0.0
    relative: float = 0.0  # of the larger one

    def covers(self, before: float, after: float) -> bool:
        """Whether they count as the same."""
        return before == after or math.isclose(before, after, rel_tol=self.relative, abs_tol=self.absolute)


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """One place where two values differ."""

    path: str  # such as $.scores[0]; $ is the whole value
    before: object
    after: object

    @property
    def is_label(self) -> bool:
        """Whether one name, number of a class or truth became another one."""
        values = self.before, self.after
        return all(isinstance(value, str | int) for value in values)

    @property
    def distance(self) -> float | None:
        """How far apart two numbers are; None for anything else."""
        if is_number(self.before) and is_number(self.after):
            return abs(float(self.after) - float(self.before))  # type: ignore[arg-type]
        return None


def is_number(value: object) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_differences(before: object, after: object, tolerance: Tolerance) -> Iterator[ValueDifference]:
    """Every place where two values differ, in the order in which they are written. However deep they are nested."""
    waiting = [("$", before, after)]
    while waiting:
        path, left, right = waiting.pop()
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            keys = dict.fromkeys([*left, *right])
            inside = [(f"{path}{_key(key)}", left.get(key, ABSENT), right.get(key, ABSENT)) for key in keys]
            waiting += reversed(inside)
        elif isinstance(left, list) and isinstance(right, list):
            longest = range(max(len(left), len(right)))
            waiting += reversed([(f"{path}[{at}]", _item(left, at), _item(right, at)) for at in longest])
        elif not _same(left, right, tolerance):
            yield ValueDifference(path, left, right)


def decoded(payload: bytes) -> object:
    """The JSON value of a payload; of one that is no JSON the text, or the bytes."""
    try:
        value: object = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            return payload.decode()
        except UnicodeDecodeError:
            return payload
    return value


def _same(before: object, after: object, tolerance: Tolerance) -> bool:
    if is_number(before) and is_number(after):
        return tolerance.covers(before, after)  # type: ignore[arg-type]
    return type(before) is type(after) and before == after


def _key(key: str) -> str:
    return f".{key}" if re.fullmatch(r"\w+", key) else f"[{orjson.dumps(key).decode()}]"


def _item(items: Sequence[object], at: int) -> object:
    return items[at] if at < len(items) else ABSENT
