"""JSONata's library, within bounds of time, depth and size: the only place that knows it.

Imported when the first expression is compiled: a worker whose pipeline has none does without.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from time import thread_time
from typing import Any

from pipeline_runtime.language.cpu_timer import CPU_TIMER, OutOfTime
from pipeline_runtime.language.text_growth import GROWTHS
from schemas.errors import BadPayload

_frames = sys.getrecursionlimit()
from jsonata import Jsonata  # noqa: E402
from jsonata.jexception import JException  # noqa: E402
from jsonata.parser import Parser  # noqa: E402
from jsonata.utils import Utils  # noqa: E402

sys.setrecursionlimit(_frames)  # the library asks for ten thousand, more than Python 3.11's stack may hold

LIMIT_S = 1.0  # of CPU, for one evaluation; nothing else runs meanwhile
MOST_ITEMS = 1_000_000  # of a list, of all ranges of an evaluation, and in a result with all that is in it
MOST_CHARACTERS = 10_000_000  # of a text
_STEPS_BETWEEN_LOOKS = 512  # at the clock
_SCALARS = frozenset({str, int, float, bool, type(None)})
_LISTS = frozenset({list, Utils.JList})


class Bounded(Jsonata):  # type: ignore[misc] # the library has no types
    """An expression that gives up after a while, keeps nothing between evaluations and cannot compile others."""

    environment: Any  # of the step that it is at
    input: Any

    def __init__(self, text: str) -> None:
        """Compile it. Raises ValueError, saying what is wrong and where."""
        try:
            super().__init__(text)
        except RecursionError as error:
            raise ValueError("it is nested too deep") from error
        except Exception as error:
            raise ValueError(_said(error)) from error
        self.parser = Parser()  # for functions that are given some of their arguments; the other is its thread's
        self.environment.bind("eval", None)  # a message is no program
        for name, growth in GROWTHS.items():
            self.environment.bind(name, _Measured(Jsonata.static_frame.lookup(name), growth))
        self.validate_input = self.output_convert_nulls = False
        self._outermost = self.environment
        self._steps_left = self._numbers_left = 0
        self._until_s: float | None = None

    def result(self, value: object, topic: str, levels: Mapping[str, str]) -> object:
        """Its result as plain JSON; the value may be changed. Raises BadPayload."""
        try:
            return _plain(self._evaluated(value, topic, levels), [MOST_ITEMS])
        except BadPayload:
            raise
        except OutOfTime as error:
            raise BadPayload(f"no result after {LIMIT_S:g} s: it may go round in circles") from error
        except RecursionError as error:
            raise BadPayload("it calls itself too often, or its result is nested too deep") from error
        except Exception as error:
            raise BadPayload(_said(error)) from error

    def _evaluated(self, value: object, topic: str, levels: Mapping[str, str]) -> object:
        """As the library has it."""
        self._steps_left, self._until_s, self._numbers_left = _STEPS_BETWEEN_LOOKS, None, MOST_ITEMS
        Jsonata.CURRENT.jsonata = self  # functions ask it for the time, and to call what they are given
        names = {"topic": topic, "levels": dict(levels), "__evaluate_entry": None, "__evaluate_exit": None}
        try:
            CPU_TIMER.start(LIMIT_S)
            return self.evaluate(value, names)
        finally:
            CPU_TIMER.stop()
            self.input, self.environment = None, self._outermost  # each step has left its own there

    def eval(self, expr: object, input: object, environment: object) -> object:  # noqa: A002 - the library's name
        """One step; the library's own bounds count from when the expression was compiled, so they are no use here."""
        self._steps_left -= 1
        if not self._steps_left:
            self._look_at_the_clock()
        result = self._eval(expr, input, environment)
        kind = type(result)
        if kind is str:
            _check_characters(len(result))
        elif kind in _LISTS and len(result) > MOST_ITEMS:
            raise BadPayload(f"a list in it has more than {MOST_ITEMS} values")
        return result

    def _look_at_the_clock(self) -> None:
        """For threads that the timer does not interrupt."""
        now_s = thread_time()
        self._steps_left = _STEPS_BETWEEN_LOOKS
        self._until_s = self._until_s or now_s + LIMIT_S
        if now_s > self._until_s:
            raise OutOfTime

    def evaluate_range_expression(self, first: object, last: object) -> object:
        """A list of whole numbers, not too many."""
        if isinstance(first, int) and isinstance(last, int):
            self._numbers_left -= max(0, last - first + 1)
            if self._numbers_left < 0:
                raise BadPayload(f"with the range from {first} to {last} there are more than {MOST_ITEMS} numbers")
        return super().evaluate_range_expression(first, last)


class _Measured(Jsonata.JNativeFunction):  # type: ignore[misc]
    """A function of the library whose result is measured before it is made: one call may take all memory."""

    def __init__(self, function: Any, growth: Callable[[Sequence[Any]], float]) -> None:  # noqa: ANN401
        self.__dict__.update(vars(function))
        self._growth = growth

    def call(self, input: object, args: Sequence[Any]) -> object:  # noqa: A002 - the library's name
        """Its result. Raises BadPayload when it would be too long."""
        _check_characters(self._growth(args))
        return super().call(input, args)


def _check_characters(count: float) -> None:
    if count > MOST_CHARACTERS:
        raise BadPayload(f"a text in it has more than {MOST_CHARACTERS} characters")


def _plain(value: object, room: list[int]) -> object:
    """Without the library's own kinds of lists and null. Raises BadPayload for what is no JSON, or more than room."""
    if type(value) in _SCALARS:
        if isinstance(value, float) and value - value != 0.0:
            raise BadPayload("its result has a number in it that is none, or infinite")
        return float(value) if type(value) is int and not -(2**63) <= value < 2**64 else value
    if isinstance(value, dict | list):
        room[0] -= len(value)
        if room[0] < 0:
            raise BadPayload(f"its result has more than {MOST_ITEMS} values")
        if isinstance(value, dict):
            return {key: _plain(item, room) for key, item in value.items()}
        return [_plain(item, room) for item in value]
    if value is Utils.NULL_VALUE:
        return None
    raise BadPayload("its result has a function in it; call it")


def _said(error: Exception) -> str:
    """What the library complains of, in words, and where."""
    if isinstance(error, ZeroDivisionError):
        return "a division by zero"
    if not isinstance(error, JException):
        return f"{type(error).__name__}: {error}"
    text = str(error).replace("Object ", "function ")  # the library's translators were too eager
    return f"{text}, at character {error.location}" if error.location > 0 else text
