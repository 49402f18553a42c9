"""What one check of `tidemill doctor` found."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """A finding; only what is wrong makes the command fail."""

    name: str
    verdict: Verdict
    detail: str
