"""What a pipeline's workers died of, as far as it can be known: which message to keep from the next one."""

import os
import tempfile
from collections import Counter
from io import FileIO

from edge_agent.worker.worker_protocol import SOUND_S
from pipeline_runtime.running.crash_guard import MARK_BYTES, marked

CAREFUL_AFTER = 2  # early ends in a row; then one message at a time
STRIKES = 2  # a message in hand at so many ends is held to be their cause
MOST_DEADLY = 1000  # then the oldest is tried again


class CrashWatch:
    """Follows the lives of one pipeline's workers.

    A message that kills its worker is sent again by the broker, and kills the next one. After two early ends the
    workers take one message at a time and mark it in a file that outlives them; who is found marked twice is deadly.
    """

    def __init__(self) -> None:
        self._file: FileIO | None = None  # of a pipeline that is never begun with there is none to close
        self._early_ends = 0
        self._strikes: Counter[str] = Counter()
        self._deadly: dict[str, None] = {}

    @property
    def fd(self) -> int:
        """The file for the mark, for the worker to inherit."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - close() closes it
        return self._file.fileno()

    @property
    def careful(self) -> bool:
        """Whether the next worker is to take one message at a time."""
        return self._early_ends >= CAREFUL_AFTER

    @property
    def deadly(self) -> tuple[str, ...]:
        """The marks of messages that no worker should try again."""
        return tuple(self._deadly)

    def began(self) -> None:
        """A worker starts."""
        os.pwrite(self.fd, bytes(MARK_BYTES), 0)

    def ended(self, lived_s: float) -> None:
        """A worker has ended though nobody asked it to."""
        self._early_ends = self._early_ends + 1 if lived_s < SOUND_S else 0
        mark = marked(self.fd)
        if not mark:
            return
        self._strikes[mark] += 1
        if self._strikes[mark] >= STRIKES:
            del self._strikes[mark]
            self._deadly[mark] = None
            if len(self._deadly) > MOST_DEADLY:
                del self._deadly[next(iter(self._deadly))]

    def forgive(self) -> None:
        """Another version is wanted, for which nothing is known to be deadly."""
        self._early_ends = 0
        self._strikes.clear()
        self._deadly.clear()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
