"""What a task's runner tells in the folder ``control``: whether it lives, and how its scripts ended."""

import fcntl
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.execution.executor import ExitResult
from edge_agent.execution.untrusted_files import Refused, open_plain

RESULT_LIMIT_BYTES = 65536


class RunnerResult(BaseModel):
    """``result.json``; a script can forge it, so it is believed only where it does no harm."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    exit_code: int = Field(ge=0, le=255)
    script: str = Field(max_length=255)
    script_s: float = Field(ge=0)
    stopped: bool  # it was asked to end
    passed: str = Field("", max_length=20)
    cpu_s: float | None = Field(None, ge=0)
    memory_peak_bytes: int | None = Field(None, ge=0, lt=2**63)

    @property
    def exit_result(self) -> ExitResult:
        """In the words of the executors."""
        return ExitResult(self.exit_code, self.script, self.script_s, self.passed, self.cpu_s, self.memory_peak_bytes)


def read_result(control: Path) -> RunnerResult | None:
    """The result, or None if the runner was killed before it wrote one, or it makes no sense."""
    try:
        with open_plain(control / "result.json") as file:
            return RunnerResult.model_validate_json(file.read(RESULT_LIMIT_BYTES))
    except (OSError, Refused, ValidationError):
        return None


def claimed_by(control: Path) -> int | None:
    """The process that ran or runs the attempt; None if it was never started."""
    try:
        with open_plain(control / "claim", linked=True) as file:
            return int(file.read(20)) or None
    except (OSError, Refused, ValueError):
        return None


def is_running(control: Path) -> bool:
    """Whether the runner lives: it holds a lock on its claim, and no later process with its number does."""
    try:
        with open_plain(control / "claim", linked=True) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, Refused):
        return False
    return False


def forbid_start(control: Path) -> None:
    """Claim the attempt for nobody, unless it is claimed: a runner on its way will find it taken, and end."""
    own = control / "claim.nobody"
    own.write_text("0", encoding="utf-8")
    with suppress(FileExistsError):
        (control / "claim").hardlink_to(own)
    own.unlink()
