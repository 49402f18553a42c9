"""Runs a task's scripts one after the other, inside its container or environment; needs Python 3.8 and nothing else.

    python -I input/runner.py FOLDER [--detach]

``FOLDER/input/order.json`` says what to run. In ``FOLDER/control`` it leaves ``claim`` (locked for as long as this
program lives; whoever makes it first runs the scripts, nobody ever again), ``log`` and, at the end, ``result.json``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HEAD_BYTES = 16 * 1024 * 1024  # of the log, written as it comes
TAIL_BYTES = 256 * 1024  # of what comes after that, written at the end
PIPE_BYTES = 1024 * 1024  # the most that can wait in a pipe when its writer has ended
LOOK_S = 0.2  # how often to look whether a silent script has ended
DISK_EVERY_S = 2.0
STOPPED = 128 + signal.SIGTERM


class Log:
    """The log file: only ever appended to, and bounded by leaving out the middle."""

    def __init__(self, path: Path, *, echo: bool) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._echo = echo  # to this program's own output, for `docker logs`
        self._room = HEAD_BYTES
        self._tail = bytearray()
        self._beyond = 0
        self._line_open = False
        os.dup2(self._fd, 2)  # should this program itself fail, the log says how

    def write(self, data: bytes) -> None:
        """Append what a script wrote."""
        if self._echo:
            self._echo = _write_all(1, data)
        head, rest = data[: self._room], data[self._room :]
        _write_all(self._fd, head)
        self._room -= len(head)
        self._line_open = not data.endswith(b"\n")
        self._beyond += len(rest)
        self._tail += rest
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]

    def note(self, text: str) -> None:
        """Append a line of this program's own."""
        self.end_line()
        self.write(f"tidemill: {text}\n".encode())

    def end_line(self) -> None:
        """Make the next script start on a line of its own."""
        if self._line_open:
            self.write(b"\n")

    def close(self) -> None:
        """Write the end of a log that was too long."""
        if self._beyond:
            tail = bytes(self._tail[-TAIL_BYTES:])
            left_out = self._beyond - len(tail)
            gap = b"\ntidemill: %d bytes of the log are left out here\n" % left_out if left_out else b""
            _write_all(self._fd, gap + tail)
        os.close(self._fd)


def _write_all(fd: int, data: bytes) -> bool:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:  # the disk is full or nobody reads: the scripts go on without a log
        return False
    return True


class Runner:
    """Runs the scripts of one order."""

    def __init__(self, folder: Path, order: dict[str, Any], log: Log) -> None:
        self._folder, self._order, self._log = folder, order, log
        self._child: subprocess.Popen[bytes] | None = None
        self._next_look = 0.0
        self.stopped = False

    def stop(self, *_signal: object) -> None:
        """Ask the running script and its children to end; no other is started."""
        self.stopped = True
        self._signal(signal.SIGTERM)

    def run(self) -> tuple[int, str]:
        """Run all, up to the first that fails; its exit code and its name."""
        script = ""
        for script in self._order["scripts"]:
            code = self._run(self._folder / "input/scripts" / script)
            self._log.end_line()
            if self.stopped:
                return STOPPED, script
            if code:
                return code, script
        return 0, script

    def _run(self, path: Path) -> int:
        # A session of its own: its children can be signalled with it, and this program is not.
        self._child = subprocess.Popen(
            [sys.executable, "-u", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder / "work",
            start_new_session=True,
            bufsize=0,
        )
        if self.stopped:  # asked between two scripts
            self._signal(signal.SIGTERM)
        _end_first_when_memory_is_short(self._child.pid)
        assert self._child.stdout is not None  # noqa: S101 - it is a pipe
        with self._child.stdout as output:
            self._pump(self._child, output.fileno())
        while self._child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(LOOK_S)
            self._watch_disk()
        code = self._child.returncode
        self._signal(signal.SIGKILL)  # what it left running must not touch the outputs any more
        self._child = None
        return code if code >= 0 else 128 - code

    def _pump(self, child: subprocess.Popen[bytes], output: int) -> None:
        """Copy output to the log until the script has ended, even if a child of it keeps the pipe open."""
        left = PIPE_BYTES
        while left > 0:
            ended = child.poll() is not None  # asked first: all that it wrote is in the pipe by then
            self._watch_disk()
            if select.select([output], [], [], 0 if ended else LOOK_S)[0]:
                data = os.read(output, 65536)
                if not data:
                    return
                self._log.write(data)
                left -= len(data) if ended else 0
            elif ended:
                return

    def _watch_disk(self) -> None:
        started = time.monotonic()
        if started < self._next_look:
            return
        for name, limit in self._order["disk_bytes"].items():
            if _disk_use(self._folder / name, limit) > limit:
                self._log.note(f"{name}/ holds more than {limit // 1024 // 1024} MB: the script is ended")
                self._signal(signal.SIGKILL)
        took_s = time.monotonic() - started
        self._next_look = started + max(DISK_EVERY_S, 20 * took_s)  # looking at many files must not slow the script

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)


def _end_first_when_memory_is_short(pid: int) -> None:
    """The kernel shall end a script before it ends the agent or this program."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def _disk_use(folder: Path, limit: int) -> int:
    """Bytes of disk below a folder; counting stops where the limit is passed."""
    used = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                used += max(4096, Path(parent, name).lstat().st_blocks * 512)  # an empty file takes an inode
        if used > limit:
            break
    return used


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


def main(folder: Path, *, detached: bool) -> int:
    """Run the order of ``folder`` unless that was done before; the exit code of the script that ended last."""
    control = folder / "control"
    starter = _detach() if detached else None
    claim = _claim(control)
    if starter is not None:
        os.close(starter)
    if claim is None:
        print("tidemill: this attempt was started before, and is not started again", file=sys.stderr)
        return STOPPED
    log = Log(control / "log", echo=not detached)
    order = json.loads((folder / "input/order.json").read_text(encoding="utf-8"))
    runner = Runner(folder, order, log)
    signal.signal(signal.SIGTERM, runner.stop)
    started = time.monotonic()
    code, script = runner.run()
    script_s = time.monotonic() - started
    log.close()
    _save_result(control, {"exit_code": code, "script": script, "script_s": script_s, "stopped": runner.stopped})
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), detached="--detach" in sys.argv[2:]))
