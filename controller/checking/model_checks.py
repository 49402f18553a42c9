"""Has models checked by processes of their own, which are kept for a while: starting one costs more than a check."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from schemas.errors import BadInput
from schemas.models import Signature

CHECK_S = 300.0  # a model that needs longer to load will not serve anyone
_AT_ONCE = max(2, os.cpu_count() or 1)
_ANSWER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of a model that can be served."""

    signature: Signature
    sample: bytes | None  # an .npz, see samples.py; None: there could be none


class ModelChecks:
    """Checks some models at once, each in a process that checks nothing else meanwhile; others wait for their turn.

    A model that crashes its process, or hangs it, takes nothing with it but that process. Processes end by themselves
    when there has been nothing to check for some seconds.
    """

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._free: list[_Checker] = []

    async def close(self) -> None:
        """End the processes that have nothing to do."""
        for checker in self._free:
            await checker.end()

    async def check(self, path: Path) -> "Checked":
        """Check a model, read what goes in and comes out, and have it answer a sample.

        Raises:
            BadInput: it cannot be served; the message says why.
        """
        with tempfile.TemporaryDirectory(prefix="tidemill-sample-") as folder:
            sample = Path(folder) / "sample.npz"
            async with self._room:
                found = await self._ask(self._free.pop(), (path, sample)) if self._free else None
                if found is None:  # no process is there, or it has ended: of age, or of an earlier model
                    fresh = await _Checker.start()
                    found = await self._ask(fresh, (path, sample))
                    if found is None:
                        raise BadInput(f"model.onnx ended the process that checked it {fresh.last_words}")
            if "error" in found:
                raise BadInput(found["error"])
            content = await asyncio.to_thread(sample.read_bytes) if found["sample"] else None
            return Checked(Signature.model_validate(found["signature"]), content)

    async def _ask(self, checker: "_Checker", paths: tuple[Path, Path]) -> dict[str, Any] | None:
        """What a process says of a model; None if it has ended."""
        answer = b""
        try:
            async with asyncio.timeout(CHECK_S):
                answer = await checker.ask(paths)
        except TimeoutError as error:
            raise BadInput(f"model.onnx did not load within {CHECK_S:.0f} s") from error
        except ValueError as error:
            raise BadInput(f"model.onnx has a signature of over {_ANSWER_BYTES} bytes") from error
        finally:
            if answer:
                self._free.append(checker)
            else:
                await checker.end()
        return json.loads(answer) if answer else None


class _Checker:
    """One process of ``controller.checking.model_check``."""

    def __init__(self, process: Process, asks: StreamWriter, answers: StreamReader, complaints: StreamReader) -> None:
        self._process, self._asks, self._answers = process, asks, answers
        self._complaints: deque[bytes] = deque(maxlen=1)
        self._hearing = asyncio.create_task(self._hear(complaints), name=f"complaints of {process.pid}")

    @classmethod
    async def start(cls) -> Self:
        """A new process."""
        command = sys.executable, "-m", "controller.checking.model_check"
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=_ANSWER_BYTES
        )
        match process.stdin, process.stdout, process.stderr:
            case StreamWriter() as asks, StreamReader() as answers, StreamReader() as complaints:
                return cls(process, asks, answers, complaints)
        raise AssertionError("a process without the pipes that it was started with")

    @property
    def last_words(self) -> str:
        """How it ended, once it has."""
        complaint = b"".join(self._complaints).decode(errors="replace").strip()
        return f"(code {self._process.returncode}): {complaint}"

    async def ask(self, paths: tuple[Path, Path]) -> bytes:
        """Its answer about a model, whose sample it writes to the second path.

        Returns:
            A line of JSON; nothing if it has ended.

        Raises:
            ValueError: the line is too long.
        """
        with suppress(ConnectionError):
            self._asks.write(json.dumps([str(path) for path in paths]).encode() + b"\n")
            await self._asks.drain()
        answer = await self._answers.readline()
        return answer if answer.endswith(b"\n") else b""

    async def end(self) -> None:
        """End it, and wait for that."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):  # and not by Process.kill(): it looks whether the process has ended,
                os.kill(self._process.pid, signal.SIGKILL)  # and the one who is told its code is then not asyncio
        await self._process.wait()
        await self._hearing
        self._asks.close()

    async def _hear(self, complaints: StreamReader) -> None:
        with suppress(ValueError):  # a line without an end
            async for line in complaints:
                if line.strip():
                    self._complaints.append(line[:500])
