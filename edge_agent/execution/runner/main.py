"""Claims an attempt, runs its scripts, and leaves how they ended.

    python -I input/runner FOLDER [--detach] [--secrets FOLDER]

``FOLDER/input/order.json`` says what to run. In ``FOLDER/control`` it leaves ``claim`` (locked for as long as this
program lives; whoever makes it first runs the scripts, nobody ever again), ``log`` and, at the end, ``result.json``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .log import Log
from .process_tree import keep_orphans
from .scripts import STOPPED, Runner
from .secret_values import load
from .usage import taken


def main(folder: Path, secrets: Path | None, *, detached: bool) -> int:
    """Run the order of ``folder`` unless that was done before; the exit code of the script that ended last.

    Args:
        folder: the attempt's.
        secrets: where the agent laid out what only these scripts may know.
        detached: go on in the background, on the machine itself.
    """
    control = folder / "control"
    starter = _detach() if detached else None
    claim = _claim(control)
    if starter is not None:
        os.close(starter)
    if claim is None:
        print("tidemill: this attempt was started before, and is not started again", file=sys.stderr)  # noqa: T201
        return STOPPED
    log = Log(control / "log", echo=not detached)
    order = json.loads((folder / "input/order.json").read_text(encoding="utf-8"))
    if detached and order["network"] == "none":
        log.note("limits.network is none, but only a container can keep the scripts from the network")
    keep_orphans()
    runner = Runner(folder, order, log, load(secrets), alone=detached)
    signal.signal(signal.SIGTERM, runner.stop)
    started = time.monotonic()
    code, script = runner.run()
    ended = {"exit_code": code, "script": script, "script_s": time.monotonic() - started}
    log.close()
    told = {"stopped": runner.stopped, "passed": runner.passed, **taken(runner.watch.memory_peak_bytes)}
    _save_result(control, {**ended, **told})
    return code


def _claim(control: Path) -> int | None:
    """Become the one that runs this attempt; the open claim, or None if it was run before or runs now.

    It is locked before it has its name, so that it is never seen unlocked while its maker lives.
    """
    own = control / f"claim.{os.getpid()}"
    claim = os.open(own, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    fcntl.flock(claim, fcntl.LOCK_EX)
    os.write(claim, str(os.getpid()).encode())
    try:
        os.link(own, control / "claim")
    except FileExistsError:
        os.close(claim)
        return None
    finally:
        own.unlink()
    return claim


def _detach() -> int:
    """Go on in a process of its own session, which nobody has to wait for; what to close once it is claimed."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    os.setsid()
    return writer


def _save_result(control: Path, result: dict[str, Any]) -> None:
    part = control / "result.json.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump(result, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(control / "result.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--secrets", type=Path)
    given = parser.parse_args()
    sys.exit(main(given.folder, given.secrets, detached=given.detach))
