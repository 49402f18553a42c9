"""Loads a library's file as a module, each version apart from the others."""

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Literal

from pipeline_runtime.libraries.library_context import Context
from schemas.errors import BadInput
from schemas.names import LibraryName

MAX_SOURCE_BYTES = 5_000_000
FOREIGN = (Exception, SystemExit, asyncio.CancelledError)
"""What a library's code may raise, and must not end the worker with."""


Hook = Callable[[Context], object]


class Library:
    """A loaded library; ``exec``, ``open`` and ``close`` are its author's functions."""

    def __init__(self, name: LibraryName, path: Path) -> None:
        """Run the file. Blocks for as long as the file's own imports take.

        Raises:
            BadInput: the file cannot be read or run, or its functions are not such as can be called.
        """
        self.name = name
        self.path = path
        module = _load(name, path)
        self.exec: Callable[..., object] = _exec_of(name, module)
        self.takes_context = _takes_context(name, self.exec)  # found once, not for each message
        self.is_async = inspect.iscoroutinefunction(self.exec)
        self.open = _hook(name, module, "open")
        self.close = _hook(name, module, "close")


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


def _exec_of(name: str, module: ModuleType) -> Callable[..., object]:
    function: Callable[..., object] | None = getattr(module, "exec", None)
    if not callable(function):
        raise BadInput(f"library {name} has no function `exec`")
    return function


def _takes_context(name: str, function: Callable[..., object]) -> bool:
    """Whether ``exec`` wants the context: as a second argument that it must be given, or that is called so."""
    signature = _signature(function)
    if signature is None:
        return False
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [parameter for parameter in signature.parameters.values() if parameter.kind in by_place]
    second = places[1] if len(places) > 1 else None
    wanted = second is not None and (second.default is inspect.Parameter.empty or second.name == "context")
    try:
        signature.bind(*[object()] * (2 if wanted else 1))
    except TypeError as error:
        raise BadInput(f"library {name}: `exec` must take its input, or its input and the context: {error}") from error
    return wanted


def _hook(name: str, module: ModuleType, which: Literal["open", "close"]) -> Hook | None:
    """The library's function of that name; one that it has from elsewhere, such as gzip's ``open``, is none."""
    function: Hook | None = getattr(module, which, None)
    signature = _signature(function) if callable(function) else None
    if function is None or signature is None:
        return None
    ours = getattr(function, "__module__", None) == name
    if not ours and next(iter(signature.parameters), None) != "context":
        return None
    try:
        signature.bind(object())
    except TypeError as error:
        raise BadInput(f"library {name}: `{which}` must take one argument, the context: {error}") from error
    return function


def _signature(function: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None  # written in C, and does not say what it takes


def describe(error: BaseException, path: Path) -> str:
    """The error in one line, with the line of the library where it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f" (line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
