"""Runs the scripts of one order: starts each, copies what it prints, and ends it when it passes a limit."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .log import Log
from .process_tree import descendants, kill_all, reap
from .text import Cleaner
from .usage import Container
from .watch import LOOK_EVERY_S, Watch

PIPE_BYTES = 1024 * 1024  # the most that can wait in a pipe when its writer has ended
STOPPED = 128 + signal.SIGTERM
NICENESS = 5  # so that the agent, its pipelines and this program come first
_FILE_SLACK_BYTES = 1024 * 1024  # a file that the kernel cuts here is larger than its folder may be


class Runner:
    """One order's scripts.

    Args:
        folder: the attempt's.
        order: what ``input/order.json`` says.
        log: takes what the scripts print.
        secrets: variables for the scripts alone, and the values that must not be in the log.
        alone: no container enforces the limits.
    """

    def __init__(
        self, folder: Path, order: dict[str, Any], log: Log, secrets: tuple[dict[str, str], list[str]], *, alone: bool
    ) -> None:
        self._folder, self._order, self._log, self._alone = folder, order, log, alone
        self._variables = {**os.environ, **secrets[0]}
        self._cleaner = Cleaner(secrets[1])
        self._child: subprocess.Popen[bytes] | None = None
        self._container = Container(there=not alone)
        self.watch = Watch(folder, order, alone=alone)
        self.stopped = False
        self.passed = ""  # the limit because of which a script was ended

    def stop(self, *_signal: object) -> None:
        """Ask the running script and its children to end; no other is started."""
        self.stopped = True
        self._signal(signal.SIGTERM)

    def run(self) -> tuple[int, str]:
        """Run all, up to the first that fails; its exit code and its name."""
        script = ""
        for script in self._order["scripts"]:
            code = self._run(self._folder / "input/scripts" / script)
            self._log.write(self._cleaner.end())
            if self.stopped:
                return STOPPED, script
            if code or self.passed:
                return code or 128 + signal.SIGKILL, script
        return 0, script

    def _run(self, path: Path) -> int:
        # A session of its own: its children can be signalled with it, and this program is not.
        self._child = subprocess.Popen(
            [sys.executable, "-u", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder / "work",
            env=self._variables,
            start_new_session=True,
            preexec_fn=self._be_bounded,  # noqa: PLW1509 - this program has one thread
            bufsize=0,
        )
        if self.stopped:  # asked between two scripts
            self._signal(signal.SIGTERM)
        assert self._child.stdout is not None  # noqa: S101 - it is a pipe
        with self._child.stdout as output:
            self._pump(self._child, output.fileno())
        while self._child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(LOOK_EVERY_S)
            self._look(self._child.pid)
        code = self._child.returncode
        self._child = None
        kill_all()  # what it left running must not touch the outputs any more
        self._look(0, thoroughly=True)
        if not code and self.passed == "disk_reserve_mb":
            self.passed = ""  # it ended well before the disk was short
        if code and not self.passed:
            self.passed = self._container.passed
        return code if code >= 0 else 128 - code

    def _pump(self, child: subprocess.Popen[bytes], output: int) -> None:
        """Copy output to the log until the script has ended, even if a child of it keeps the pipe open."""
        left = PIPE_BYTES
        while left > 0:
            ended = child.poll() is not None  # asked first: all that it wrote is in the pipe by then
            self._look(child.pid)
            if select.select([output], [], [], 0 if ended else LOOK_EVERY_S)[0]:
                data = os.read(output, 65536)
                if not data:
                    return
                self._log.write(self._cleaner.feed(data))
                left -= len(data) if ended else 0
            elif ended:
                return

    def _look(self, script: int, *, thoroughly: bool = False) -> None:
        """End everything if a limit is passed, and note which."""
        if self.passed or not (thoroughly or self.watch.due):
            return
        processes = descendants()
        reap(processes, but=script)
        self.passed = self.watch.look(processes, thoroughly=thoroughly)
        if self._container.passed == "memory_mb":
            self.passed = "memory_mb"  # the kernel has ended one of them; the others may wait for it for ever
        if self.passed:
            kill_all(but=script)
            self._log.write(self._cleaner.end())
            self._log.note(f"{self.passed} was passed: the scripts are ended")

    def _be_bounded(self) -> None:
        """In the script's process, before it is the script."""
        most = max(self._order["disk_bytes"][name] for name in ("output", "work")) + _FILE_SLACK_BYTES
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(NICENESS)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # it ends before the agent does
        cpus = self._order.get("cpus")
        if self._alone and cpus:
            allowed = sorted(os.sched_getaffinity(0))
            first = os.getpid() % len(allowed)  # tasks that run at once shall not meet on the same ones
            chosen = (allowed[first:] + allowed[:first])[: max(1, round(cpus))]
            os.sched_setaffinity(0, chosen)

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)
