"""How long the texts become that JSONata's functions make in one call, told before they are made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Growth = Callable[[Sequence[Any]], float]
"""From a call's arguments how many characters its result may have; 0 for arguments that the function refuses."""


def _padded(args: Sequence[Any]) -> float:
    width = args[1] if len(args) > 1 else 0
    return abs(width) if isinstance(width, int | float) else 0


def _joined(args: Sequence[Any]) -> float:
    texts, between = args[0], args[1] if len(args) > 1 else ""
    if not isinstance(texts, list):
        return 0
    glue = len(between) if isinstance(between, str) else 0
    return sum(len(text) for text in texts if isinstance(text, str)) + glue * len(texts)


def _replaced(args: Sequence[Any]) -> float:
    """No less than it will be, unless a function makes the replacements."""
    text, what, by = args[:3]
    if not isinstance(text, str) or not isinstance(by, str) or not what:
        return 0
    kept = len(text) * (1 + by.count("$"))  # each $1 is a part of the text
    most = kept + (len(text) + 1) * len(by)
    if most < _WORTH_COUNTING:
        return most
    times = text.count(what) if isinstance(what, str) else sum(1 for _ in what.finditer(text))
    return kept + times * len(by)


_WORTH_COUNTING = 1_000_000  # characters
GROWTHS: Mapping[str, Growth] = {"pad": _padded, "join": _joined, "replace": _replaced}
