"""Tries a model in a process of its own before anything is served by it: its bytes, its loading, its answers.

The process reads a ``Trial`` from stdin and writes a ``Verdict`` to stdout. It is the first to be killed when memory
runs short, and gives way to whatever serves.
"""

import asyncio
import hashlib
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from edge_agent.shelf.trial_process import trial_process
from edge_agent.worker.memory_watch import too_large
from schemas.errors import BadInput, TimedOut, Unfit
from schemas.models import MODEL_FILE
from schemas.names import BlobDigest, RelativePath

TIMEOUT_S = 300.0
MEMORY_SHARE = 0.8  # of what is free when it begins: what serves meanwhile must not be pushed out
LONGEST_REASON = 2000


class Trial(BaseModel):
    """What is tried."""

    model_config = ConfigDict(frozen=True)
    folder: Path  # of the version
    files: dict[RelativePath, BlobDigest]
    sample: Path | None = None  # asked, if there is one


class Verdict(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True)
    damaged: tuple[RelativePath, ...] = ()  # files that are not what their digest says
    unfit: str = ""  # why it is not to be served


async def try_model(
    trial: Trial, *, timeout_s: float = TIMEOUT_S, memory_share: float = MEMORY_SHARE
) -> tuple[RelativePath, ...]:
    """Try it; the files that are damaged are returned, and then nothing else was tried.

    Raises:
        Unfit: it cannot be loaded, answers its sample otherwise than it should, ends the process, or takes too much
            memory.
        TimedOut: it takes too long, which may be this machine's fault.
    """
    async with trial_process("edge_agent.shelf.model_trial") as process:
        try:
            async with asyncio.timeout(timeout_s):
                said = await _heard(process, trial, memory_share)
        except TimeoutError as error:
            raise TimedOut(f"trying the model took more than {timeout_s:g} s") from error
    return _verdict(process, said)


async def _heard(process: Process, trial: Trial, memory_share: float) -> bytes:
    limit_mb = int(psutil.virtual_memory().available * memory_share / 1e6)
    talking = asyncio.ensure_future(process.communicate(trial.model_dump_json().encode() + b"\n"))
    watching = asyncio.ensure_future(too_large(process.pid, lambda: limit_mb))
    try:
        await asyncio.wait({talking, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not talking.done():
            used = watching.result().partition(",")[0]
            raise Unfit(f"trying it was ended: {used}, and may take {limit_mb} MB here, of what is free now")
        return talking.result()[0]
    finally:
        for task in (talking, watching):
            task.cancel()
        await asyncio.gather(talking, watching, return_exceptions=True)


def _verdict(process: Process, said: bytes) -> tuple[RelativePath, ...]:
    code = process.returncode or 0
    if code or not said:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise Unfit(f"the process that tried the model {how}")
    verdict = Verdict.model_validate_json(said)
    if verdict.unfit:
        raise Unfit(verdict.unfit[:LONGEST_REASON])
    return verdict.damaged


def main() -> None:
    """Try what stdin says."""
    with suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
    os.nice(10)
    trial = Trial.model_validate_json(sys.stdin.buffer.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a model's operators print is no answer
    answers.write(_tried(trial).model_dump_json())
    answers.flush()


def _tried(trial: Trial) -> Verdict:
    damaged = tuple(name for name, digest in trial.files.items() if _digest(trial.folder / name) != digest)
    if damaged:
        return Verdict(damaged=damaged)
    from pipeline_runtime.models.onnx_model import OnnxModel  # noqa: PLC0415 - the agent imports this module
    from pipeline_runtime.models.parity import check_parity  # noqa: PLC0415

    try:
        model = OnnxModel(trial.folder / MODEL_FILE)
        model.warm()
        if trial.sample is not None:
            check_parity(model, trial.sample)
    except BadInput as error:
        return Verdict(unfit=str(error))
    return Verdict()


def _digest(path: Path) -> BlobDigest:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return ""


if __name__ == "__main__":
    main()
