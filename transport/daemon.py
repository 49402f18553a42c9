"""How a daemon begins and ends: signals, exit codes, and errors told in a line each."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress

from schemas.errors import BadInput, Conflict, TidemillError
from transport.memory import settle_memory

FAILED, USAGE_ERROR, CONFLICT = 1, 2, 4


def run_daemon(name: str, make: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run what ``make`` gives until SIGTERM or SIGINT; end the process with the error's exit code if it fails.

    Args:
        name: in front of each error, such as ``tidemill agent``.
        make: reads the settings and returns the daemon's coroutine; both may raise TidemillErrors.
    """
    errors: list[TidemillError] = []
    settle_memory()
    try:
        asyncio.run(_until_signalled(make()))
    except* TidemillError as group:
        errors = _leaves(group)
    if errors:
        sys.stderr.write("".join(f"{name}: {error}\n" for error in errors))
        sys.exit(_exit_code(errors))


async def _until_signalled(serving: Coroutine[None, None, None]) -> None:
    daemon = asyncio.create_task(serving, name="daemon")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, daemon.cancel)
    with suppress(asyncio.CancelledError):
        await daemon


def _leaves(group: BaseExceptionGroup[TidemillError]) -> list[TidemillError]:
    leaves: list[TidemillError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def _exit_code(errors: list[TidemillError]) -> int:
    if any(isinstance(error, BadInput) for error in errors):
        return USAGE_ERROR
    return CONFLICT if any(isinstance(error, Conflict) for error in errors) else FAILED
