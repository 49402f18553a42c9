"""Shortcuts through simple expressions: most that people write compare, reckon and pick fields, in a tenth of the time.

A shortcut is made of the syntax tree that the expressions' library has parsed. It knows fields of objects, literals,
arithmetic, comparisons, ``and`` and ``or``, ``&``, conditions, and objects of those, for numbers, texts and truth
values. Whenever anything else turns up (a list, a null, a missing field, a wrong type) it is Unusual, and the library
evaluates the whole: a shortcut never decides what JSONata means.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

Quick = Callable[[Any, str, Mapping[str, str]], Any]
"""Gives an expression's result, from the value, the topic and its named levels. Raises Unusual."""

_NUMBERS = frozenset({int, float})
_SCALARS = frozenset({int, float, str, bool})
_EXACT = 2**53  # whole numbers up to this are the same as floats


class Unusual(Exception):
    """The library has to look at this."""


def quick(tree: Any) -> Quick | None:  # noqa: ANN401 - the library has no types
    """A shortcut through the whole expression; None if there is none."""
    try:
        return _part(tree)
    except (Unusual, RecursionError):  # a sum of many hundreds is nested as deep
        return None


def _part(symbol: Any) -> Quick:  # noqa: ANN401
    make = _MAKERS.get(symbol.type)
    if make is None:
        raise Unusual
    names, maker = make
    told = {name for name, value in vars(symbol).items() if value not in (None, False) and name not in _ABOUT}
    if not told <= names:
        raise Unusual  # a predicate, a sort, an index …
    return maker(symbol)


def _literal(symbol: Any) -> Quick:  # noqa: ANN401
    value = symbol.value
    if type(value) not in _SCALARS:
        raise Unusual
    return lambda _value, _topic, _levels: value


def _variable(symbol: Any) -> Quick:  # noqa: ANN401
    if symbol.value != "topic":
        raise Unusual
    return lambda _value, topic, _levels: topic


def _path(symbol: Any) -> Quick:  # noqa: ANN401
    first, *rest = symbol.steps
    if first.type == "variable" and first.value == "levels" and len(rest) == 1:
        _part_of_path(first, "variable")
        return _level(_part_of_path(rest[0], "name"))
    if first.type == "variable" and first.value == "" and rest:
        _part_of_path(first, "variable")
        names = [_part_of_path(step, "name") for step in rest]
    else:
        names = [_part_of_path(step, "name") for step in symbol.steps]
    return _field(names[0]) if len(names) == 1 else _deep_field(names)


def _part_of_path(step: Any, kind: str) -> str:  # noqa: ANN401
    told = {name for name, value in vars(step).items() if value not in (None, False) and name not in _ABOUT}
    if step.type != kind or not told <= {"type", "value"}:
        raise Unusual
    return str(step.value)


def _level(name: str) -> Quick:
    def level(_value: object, _topic: str, levels: Mapping[str, str]) -> object:
        if name not in levels:
            raise Unusual
        return levels[name]

    return level


def _field(name: str) -> Quick:
    def field(value: Any, _topic: str, _levels: Mapping[str, str]) -> object:  # noqa: ANN401
        if type(value) is not dict:
            raise Unusual
        return _scalar(value.get(name))

    return field


def _deep_field(names: list[str]) -> Quick:
    def field(value: Any, _topic: str, _levels: Mapping[str, str]) -> object:  # noqa: ANN401
        for name in names:
            if type(value) is not dict:
                raise Unusual
            value = value.get(name)
        return _scalar(value)

    return field


def _scalar(value: Any) -> object:  # noqa: ANN401
    kind = type(value)
    if kind not in _SCALARS or (kind is float and value - value != 0.0):  # NaN and infinite numbers are no JSON
        raise Unusual
    return value


def _number(value: Any) -> float:  # noqa: ANN401
    kind = type(value)
    if kind is float or (kind is int and -_EXACT <= value <= _EXACT):
        return float(value)
    raise Unusual


def _as_number(result: float) -> float:
    """Whole results are whole numbers, as in the library."""
    if not -_EXACT <= result <= _EXACT:
        raise Unusual
    whole = int(result)
    return whole if whole == result else result


def _truth(value: object) -> bool:
    if type(value) not in _SCALARS:
        raise Unusual
    return bool(value)


def _binary(symbol: Any) -> Quick:  # noqa: ANN401
    left, right, sign = _part(symbol.lhs), _part(symbol.rhs), str(symbol.value)
    if sign in _ARITHMETIC:
        return _reckoned(left, right, _ARITHMETIC[sign])
    if sign in _COMPARISONS:
        return _compared(left, right, _COMPARISONS[sign], ordered=sign not in {"=", "!="})
    if sign == "and":
        return lambda value, topic, levels: _truth(left(value, topic, levels)) and _truth(right(value, topic, levels))
    if sign == "or":
        return lambda value, topic, levels: _truth(left(value, topic, levels)) or _truth(right(value, topic, levels))
    if sign == "&":
        return _joined(left, right)
    raise Unusual


def _reckoned(left: Quick, right: Quick, reckon: Callable[[float, float], float]) -> Quick:
    def number(value: object, topic: str, levels: Mapping[str, str]) -> object:
        first, second = _number(left(value, topic, levels)), _number(right(value, topic, levels))
        try:
            return _as_number(reckon(first, second))
        except (ZeroDivisionError, OverflowError) as error:
            raise Unusual from error

    return number


def _compared(left: Quick, right: Quick, compare: Callable[[Any, Any], bool], *, ordered: bool) -> Quick:
    def truth(value: object, topic: str, levels: Mapping[str, str]) -> object:
        first, second = left(value, topic, levels), right(value, topic, levels)
        one, other = type(first), type(second)
        if one in _NUMBERS and other in _NUMBERS:
            return compare(_number(first), _number(second))
        if one is other and (one is str or (one is bool and not ordered)):
            return compare(first, second)
        raise Unusual

    return truth


def _joined(left: Quick, right: Quick) -> Quick:
    def text(value: object, topic: str, levels: Mapping[str, str]) -> object:
        first, second = left(value, topic, levels), right(value, topic, levels)
        if type(first) is str and type(second) is str:
            return first + second
        raise Unusual

    return text


def _condition(symbol: Any) -> Quick:  # noqa: ANN401
    if symbol._else is None:  # noqa: SLF001 - the library calls it so
        raise Unusual
    question, then, otherwise = _part(symbol.condition), _part(symbol.then), _part(symbol._else)  # noqa: SLF001

    def chosen(value: object, topic: str, levels: Mapping[str, str]) -> object:
        return (then if _truth(question(value, topic, levels)) else otherwise)(value, topic, levels)

    return chosen


def _object(symbol: Any) -> Quick:  # noqa: ANN401
    if str(symbol.value) != "{" or not symbol.lhs_object:
        raise Unusual
    fields = [(str(key.value), _part(item)) for key, item in symbol.lhs_object if key.type == "string"]
    if len(dict(fields)) != len(symbol.lhs_object):
        raise Unusual  # reckoned keys, or one twice

    def made(value: object, topic: str, levels: Mapping[str, str]) -> object:
        if type(value) is not dict:
            raise Unusual  # of a list it makes groups
        return {name: part(value, topic, levels) for name, part in fields}

    return made


def _block(symbol: Any) -> Quick:  # noqa: ANN401
    if len(symbol.expressions) != 1:
        raise Unusual
    return _part(symbol.expressions[0])


_ABOUT = frozenset({"_outer_instance", "bp", "id", "lbp", "position"})  # of no meaning once it is parsed
_MAKERS: Mapping[str, tuple[frozenset[str], Callable[[Any], Quick]]] = {
    "number": (frozenset({"type", "value"}), _literal),
    "string": (frozenset({"type", "value"}), _literal),
    "value": (frozenset({"type", "value"}), _literal),
    "variable": (frozenset({"type", "value"}), _variable),
    "path": (frozenset({"type", "steps"}), _path),
    "binary": (frozenset({"type", "value", "lhs", "rhs"}), _binary),
    "condition": (frozenset({"type", "condition", "then", "_else"}), _condition),
    "unary": (frozenset({"type", "value", "lhs_object"}), _object),
    "block": (frozenset({"type", "expressions"}), _block),
}
_ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_COMPARISONS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
