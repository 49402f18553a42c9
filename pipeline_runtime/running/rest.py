"""Goes on with a coroutine whose first step was taken by hand."""

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")

NOT_BEGUN = object()
"""Stands for what a first step has yielded that is still to be taken."""


@coroutine
def rest(begun: Coroutine[Any, Any, T], waits_for: object) -> Generator[Any, None, T]:
    """What it gives in the end; ``waits_for`` is what its first step has yielded, or NOT_BEGUN."""
    if waits_for is NOT_BEGUN:
        return (yield from begun)  # type: ignore[no-any-return]
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - whatever its task throws in is the coroutine's
            try:
                waits_for = begun.throw(error)
            except StopIteration as ended:
                return ended.value  # type: ignore[no-any-return]
        else:
            return (yield from begun)  # type: ignore[no-any-return]
