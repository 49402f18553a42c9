"""Expressions of nodes: JSONata, compiled once and evaluated per message."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from pipeline_runtime.language.plain_values import json_copy
from pipeline_runtime.language.quick_expressions import Quick, Unusual, quick
from schemas.errors import BadPayload

_SHOWN_CHARACTERS = 80
_MOST_OF_A_REASON = 500  # characters


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
        from pipeline_runtime.language.bounded_jsonata import Bounded  # noqa: PLC0415 - two megabytes, see there

        self.text = text
        self._full = Bounded(text)
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
            except (Unusual, RecursionError):
                pass  # nothing has happened yet: the library knows what to do, or what to complain of
        try:
            return self._full.result(json_copy(value), topic, levels or {})
        except BadPayload as error:
            reason = f"{_short(self.text, _SHOWN_CHARACTERS)}: {_short(str(error), _MOST_OF_A_REASON)}"
            raise BadPayload(reason) from error

    def holds(self, value: object, topic: str = "", levels: Mapping[str, str] | None = None) -> bool:
        """Whether its result is true. Raises BadPayload."""
        return _is_true(self.evaluate(value, topic, levels))


def _compiles(text: str) -> str:
    Expression(text)
    return text


ExpressionText = Annotated[str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_compiles)]
"""An expression as people write it; one that cannot be compiled is refused."""


def _is_true(value: object) -> bool:
    return any(map(_is_true, value)) if isinstance(value, list) else bool(value)


def _short(text: str, characters: int) -> str:
    """In characters that can be written as JSON, and not too many of them."""
    text = text if len(text) <= characters else f"{text[: characters - 1]}…"
    return text.encode(errors="replace").decode()
