"""Loads a library's file as a module, each version apart from the others."""

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from schemas.errors import BadInput
from schemas.names import LibraryName

MAX_SOURCE_BYTES = 5_000_000
FOREIGN = (Exception, SystemExit, asyncio.CancelledError)
"""What a library's code may raise, and must not end the worker with."""


class Library:
    """A loaded library; ``exec`` is its author's function."""

    def __init__(self, name: LibraryName, path: Path) -> None:
        """Run the file. Blocks for as long as the file's own imports take.

        Raises:
            BadInput: the file cannot be read or run, or has no ``exec`` that takes one argument.
        """
        self.name = name
        self.path = path
        self.exec: Callable[[object], object] = _exec_of(name, _load(name, path))


def _load(name: str, path: Path) -> ModuleType:
    source = _source(name, path)
    module = ModuleType(name)
    module.__file__ = str(path)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    try:
        # Not through importlib: it would take a stale compiled file, and refuse a path without `.py`.
        code = compile(source, str(path), "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - to run its author's code is what a library is for
    except FOREIGN as error:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        raise BadInput(f"library {name} cannot be loaded: {describe(error, path)}") from error
    return module


def _source(name: str, path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_SOURCE_BYTES:
            raise BadInput(f"library {name} is larger than {MAX_SOURCE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"library {name} cannot be read: {error}") from error


def _exec_of(name: str, module: ModuleType) -> Callable[[object], object]:
    function: Callable[[object], object] | None = getattr(module, "exec", None)
    if not callable(function):
        raise BadInput(f"library {name} has no function `exec`")
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise BadInput(f"library {name}: `exec` must take one argument, its input: {error}") from error
    except ValueError:
        pass  # written in C, and does not say what it takes
    return function


def describe(error: BaseException, path: Path) -> str:
    """The error in one line, with the line of the library where it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f" (line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
