"""Runs the embedded broker's program: started again whenever it ends, and ended with the controller."""

import asyncio
import logging
import os
import shutil
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from schemas.errors import Unreachable

log = logging.getLogger(__name__)

START_S = 10.0
_FREE_S = 3.0  # for the broker of a controller that was killed a moment ago
_LOOK_S = 0.02
_PAUSE_S = 1.0  # before a broker that ended is started again
_GOODBYE_S = 3.0
_LOG_BYTES = 1024 * 1024  # of a former life; a broker says little


class BrokerProcess:
    """The program, whichever process runs it now."""

    def __init__(self, command: list[str], port: int, log_file: Path) -> None:
        self._command, self._port, self._log_file = command, port, log_file
        self._process: Process | None = None

    def reload(self) -> None:
        """Have the broker read its password and ACL files again. May be called from any thread."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):  # it ended just now; the next one reads them when it starts
                os.kill(process.pid, signal.SIGHUP)

    async def start(self) -> None:
        """Start it, and return when it takes connections. Raises Unreachable when it does not."""
        await self._until_free()
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_BYTES:
            self._log_file.replace(self._log_file.with_suffix(".log.old"))
        with self._log_file.open("ab") as output:
            command = _dying_with_us(self._command)
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the controller, which still has things to say to the broker
            )
        await self._until_listening(self._process)
        log.info("embedded broker started", extra={"program": self._command[0], "port": self._port})

    async def keep_running(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        while True:
            if self._process is not None:
                code = await self._process.wait()
                log.error("embedded broker ended", extra={"code": code, "said": self._last_words()})
            await asyncio.sleep(_PAUSE_S)
            try:
                await self.start()
            except (OSError, Unreachable) as error:  # such as a full disk, or a program that is being upgraded
                log.warning("embedded broker not started", extra={"reason": str(error)})

    async def stop(self) -> None:
        """End it: politely, then for certain."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _until_free(self) -> None:
        """Somebody else's broker would take our connections, and know neither our accounts nor our rules."""
        try:
            async with asyncio.timeout(_FREE_S):
                while not _is_free(self._port):  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise Unreachable(
                f"port {self._port} is taken, maybe by another broker: to use that one, set [broker] url in the "
                "controller's configuration; else set another embedded_broker_port"
            ) from None

    async def _until_listening(self, process: Process) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while process.returncode is None:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    except OSError:
                        await asyncio.sleep(_LOOK_S)
                        continue
                    writer.close()
                    await writer.wait_closed()
                    return
        raise Unreachable(f"the embedded broker takes no connections on port {self._port}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log_file.read_text(errors="replace").strip().splitlines()[-3:]
        return " / ".join(lines) or "no output"


@asynccontextmanager
async def running(process: BrokerProcess) -> AsyncIterator[None]:
    """The broker for the length of the block. Raises Unreachable when it does not start."""
    try:
        await process.start()
        keeping = asyncio.create_task(process.keep_running(), name="embedded broker")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
    finally:
        await process.stop()


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _dying_with_us(command: list[str]) -> list[str]:
    """A controller that is killed must not leave a broker behind that keeps the port."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else command
