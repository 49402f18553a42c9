"""Has versions measured by processes of their own, one after the other."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress

from controller.gates.scoring_task import Scores, ScoringTask

SCORE_S = 900.0


class Scorer:
    """Measures one version at a time: latency that is taken beside another measurement says nothing."""

    def __init__(self, *, timeout_s: float = SCORE_S) -> None:
        self._timeout_s = timeout_s
        self._one_at_a_time = asyncio.Lock()

    async def score(self, task: ScoringTask) -> Scores:
        """Measure; a process that ends or hangs is told as trouble, and nothing is ever raised for it."""
        async with self._one_at_a_time:
            command = sys.executable, "-m", "controller.gates.scoring"
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            try:
                async with asyncio.timeout(self._timeout_s):
                    told, complaint = await process.communicate(task.model_dump_json().encode())
            except TimeoutError:
                return Scores(trouble=f"measuring it took over {self._timeout_s:g} s")
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                    await process.wait()
        if process.returncode != 0:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["without a word"]
            return Scores(trouble=f"the process that measured it ended ({process.returncode}): {last[0][:300]}")
        return Scores.model_validate_json(told)
