"""Expressions of nodes: JSONata, compiled once and evaluated per message; the only place that knows its library."""

import sys
from collections.abc import Mapping
from time import thread_time
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from pipeline_runtime.plain_values import json_copy
from pipeline_runtime.quick_expressions import Quick, Unusual, quick
from schemas.errors import BadPayload

_frames = sys.getrecursionlimit()
from jsonata import Jsonata  # noqa: E402
from jsonata.jexception import JException  # noqa: E402
from jsonata.parser import Parser  # noqa: E402
from jsonata.utils import Utils  # noqa: E402

sys.setrecursionlimit(_frames)  # the library asks for ten thousand, more than Python 3.11's stack may hold

LIMIT_S = 1.0  # of CPU, for one evaluation; nothing else runs meanwhile
MOST_ITEMS = 1_000_000  # of a range, and in a result with all that is in it
_STEPS_BETWEEN_LOOKS = 512  # at the clock
_SHOWN_CHARACTERS = 80
_SCALARS = frozenset({str, int, float, bool, type(None)})


class Expression:
    """One compiled expression. A value that it is evaluated on is never changed, and results share nothing with it.

    What is not there is JSONata's nothing, and None as a result. Conditions hold as in JSONata: nothing, null, 0, empty
    texts, lists and objects are false. What JSON has no form for, such as the bytes of a picture, is null to it.
    """

    __slots__ = ("_full", "_quick", "text")

    def __init__(self, text: str) -> None:
        """Compile it.

        Raises:
            ValueError: saying what is wrong with it, and where.
        """
        self.text = text
        try:
            self._full = _Bounded(text)
        except RecursionError as error:
            raise ValueError("it is nested too deep") from error
        except Exception as error:
            raise ValueError(_said(error)) from error
        self._quick: Quick | None = quick(self._full.ast)

    def evaluate(self, value: object, topic: str = "", levels: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        """What it makes of a value: plain JSON.

        Args:
            value: what names in the expression refer to.
            topic: ``$topic``
            levels: ``$levels``

        Raises:
            BadPayload: it cannot be evaluated on this value, or not within its bounds.
        """
        if self._quick is not None:
            try:
                return self._quick(value, topic, levels or {})
            except Unusual:
                pass  # nothing has happened yet: the library knows what to do, or what to complain of
        try:
            return _plain(self._full.evaluated(json_copy(value), topic, levels or {}), [MOST_ITEMS])
        except BadPayload:
            raise
        except RecursionError as error:
            raise self._failure("it calls itself too often, or its result is nested too deep") from error
        except Exception as error:
            raise self._failure(_said(error)) from error

    def holds(self, value: object, topic: str = "", levels: Mapping[str, str] | None = None) -> bool:
        """Whether its result is true. Raises BadPayload."""
        return _is_true(self.evaluate(value, topic, levels))

    def _failure(self, reason: str) -> BadPayload:
        return BadPayload(f"{_short(self.text)}: {reason}")


def _compiles(text: str) -> str:
    Expression(text)
    return text


ExpressionText = Annotated[str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_compiles)]
"""An expression as people write it; one that cannot be compiled is refused."""


class _Bounded(Jsonata):  # type: ignore[misc] # the library has no types
    """An expression that gives up after a while, keeps nothing between evaluations and cannot compile others."""

    environment: Any  # of the step that it is at
    input: Any

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.parser = Parser()  # for functions that are given some of their arguments; the other is its thread's
        self.environment.bind("eval", None)  # a message is no program
        self.validate_input = self.output_convert_nulls = False
        self._outermost = self.environment
        self._steps_left = 0
        self._until_s: float | None = None

    def evaluated(self, value: object, topic: str, levels: Mapping[str, str]) -> object:
        """Its result as the library has it."""
        self._steps_left, self._until_s = _STEPS_BETWEEN_LOOKS, None
        Jsonata.CURRENT.jsonata = self  # functions ask it for the time, and to call what they are given
        names = {"topic": topic, "levels": dict(levels), "__evaluate_entry": None, "__evaluate_exit": None}
        try:
            return self.evaluate(value, names)
        finally:
            self.input, self.environment = None, self._outermost  # each step has left its own there

    def eval(self, expr: object, input: object, environment: object) -> object:  # noqa: A002 - the library's name
        """One step; the library's own bounds count from when the expression was compiled, so they are no use here."""
        self._steps_left -= 1
        if not self._steps_left:
            self._look_at_the_clock()
        return self._eval(expr, input, environment)

    def _look_at_the_clock(self) -> None:
        now_s = thread_time()
        self._steps_left = _STEPS_BETWEEN_LOOKS
        self._until_s = self._until_s or now_s + LIMIT_S
        if now_s > self._until_s:
            raise BadPayload(f"an expression had no result after {LIMIT_S:g} s: it may go round in circles")

    def evaluate_range_expression(self, first: object, last: object) -> object:
        """A list of whole numbers, not too many."""
        if isinstance(first, int) and isinstance(last, int) and last - first >= MOST_ITEMS:
            raise BadPayload(f"a range from {first} to {last} has more than {MOST_ITEMS} numbers")
        return super().evaluate_range_expression(first, last)


def _plain(value: object, room: list[int]) -> object:
    """Without the library's own kinds of lists, null and functions; raises BadPayload if there is more than room."""
    if type(value) in _SCALARS:
        return float(value) if type(value) is int and not -(2**63) <= value < 2**64 else value
    if isinstance(value, dict | list):
        room[0] -= len(value)
        if room[0] < 0:
            raise BadPayload(f"the result of an expression has more than {MOST_ITEMS} values")
        if isinstance(value, dict):
            return {key: _plain(item, room) for key, item in value.items()}
        return [_plain(item, room) for item in value]
    if value is Utils.NULL_VALUE:
        return None
    raise BadPayload("the result of an expression has a function in it; call it")


def _is_true(value: object) -> bool:
    return any(map(_is_true, value)) if isinstance(value, list) else bool(value)


def _said(error: Exception) -> str:
    """In words, and where."""
    if isinstance(error, ZeroDivisionError):
        return "a division by zero"
    if not isinstance(error, JException):
        return f"{type(error).__name__}: {error}"
    text = str(error).replace("Object ", "function ")  # the library's translators were too eager
    return f"{text}, at character {error.location}" if error.location > 0 else text


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
