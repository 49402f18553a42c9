"""JSONata's library, with bounds: the only place that knows it.

Imported when the first expression is compiled: a worker whose pipeline has none does without.
"""

import sys
from collections.abc import Mapping
from time import thread_time
from typing import Any

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
_SCALARS = frozenset({str, int, float, bool, type(None)})


class Bounded(Jsonata):  # type: ignore[misc] # the library has no types
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

    def result(self, value: object, topic: str, levels: Mapping[str, str]) -> object:
        """What it makes of a value, which it may change: plain JSON. Raises BadPayload, and what the library does."""
        self._steps_left, self._until_s = _STEPS_BETWEEN_LOOKS, None
        Jsonata.CURRENT.jsonata = self  # functions ask it for the time, and to call what they are given
        names = {"topic": topic, "levels": dict(levels), "__evaluate_entry": None, "__evaluate_exit": None}
        try:
            return _plain(self.evaluate(value, names), [MOST_ITEMS])
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


def said(error: Exception) -> str:
    """In words, and where."""
    if isinstance(error, ZeroDivisionError):
        return "a division by zero"
    if not isinstance(error, JException):
        return f"{type(error).__name__}: {error}"
    text = str(error).replace("Object ", "function ")  # the library's translators were too eager
    return f"{text}, at character {error.location}" if error.location > 0 else text
