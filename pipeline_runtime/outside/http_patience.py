"""How long a web service is waited for, and how often it is asked."""

from dataclasses import dataclass

LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """With one service."""

    timeout_s: float  # of each call, with its answer
    retries: int  # calls beside the first
    backoff_s: float  # before the second call; twice as long before each later one

    def pause_s(self, tried: int, asked_s: float = 0.0) -> float:
        """How long to wait after that many retries; the service may ask for more, up to a minute."""
        return min(max(self.backoff_s * 2.0**tried, asked_s), LONGEST_PAUSE_S)
