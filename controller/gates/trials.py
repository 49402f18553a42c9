"""Whether a candidate that was asked beside the champion, on live messages, becomes the champion. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.gates import Decision, GateCheck, GateResult, Trial


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """What shadows told of one version, on some edges."""

    agreed: int = 0
    disagreed: int = 0
    failed: int = 0
    answering_s: float = 0.0  # all its answers took together

    @property
    def answered(self) -> int:
        """Messages that it gave an answer to."""
        return self.agreed + self.disagreed

    @property
    def asked(self) -> int:
        """Messages that it was asked about."""
        return self.answered + self.failed

    def __add__(self, other: "ShadowFigures") -> "ShadowFigures":
        return ShadowFigures(
            self.agreed + other.agreed,
            self.disagreed + other.disagreed,
            self.failed + other.failed,
            self.answering_s + other.answering_s,
        )


def tried(pending: GateResult, figures: ShadowFigures, now: datetime) -> GateResult | None:
    """What the gate says once a candidate was asked often enough; None: it is to be asked more."""
    if pending.trial is None or figures.asked < pending.trial.asks.messages:
        return None
    checks = tuple(_checks(pending.trial.asks, figures))
    decision, why = _decide(checks)
    return pending.model_copy(
        update={
            "decision": decision,
            "reason": f"beside version {pending.champion}, on {figures.asked} live messages: {why}",
            "checks": (*pending.checks, *checks),
            "trial": None,
            "at": now,
        }
    )


def _checks(asks: Trial, figures: ShadowFigures) -> Iterator[GateCheck]:
    failed = figures.failed / figures.asked
    yield _check("shadow failed", failed, asks.failed, f"it failed on {failed:.2%} of the messages")
    if not figures.answered:
        return
    if asks.disagreement is not None:
        differs = figures.disagreed / figures.answered
        yield _check("shadow disagreement", differs, asks.disagreement, f"{differs:.2%} of its answers differ")
    if asks.latency_ms is not None:
        mean_ms = figures.answering_s / figures.answered * 1e3
        yield _check("shadow latency_ms", mean_ms, asks.latency_ms, f"an answer takes {mean_ms:.3g} ms on average")


def _check(name: str, value: float, limit: float, told: str) -> GateCheck:
    passed = value <= limit
    allowed = f"{limit:.3g} ms are allowed" if name.endswith("_ms") else f"{limit:.2%} are allowed"
    return GateCheck(
        name=name, passed=passed, value=value, limit=limit, detail=told if passed else f"{told}, and {allowed}"
    )


def _decide(checks: tuple[GateCheck, ...]) -> tuple[Decision, str]:
    """One that fails too often is broken; one that differs, or is slow, a person may want all the same."""
    for check in checks:
        if check.passed is False:
            return ("reject" if check.name == "shadow failed" else "hold"), check.detail
    return "promote", "; ".join(check.detail for check in checks)
