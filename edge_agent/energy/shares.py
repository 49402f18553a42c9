"""Dividing the machine's energy among the tasks that run at the same time: evenly. Pure."""

from dataclasses import dataclass

from edge_agent.execution.executor import TaskKey


@dataclass(frozen=True, slots=True)
class Energy:
    """What something took."""

    kwh: float = 0.0
    co2e_kg: float = 0.0


class Shares:
    """Readings of one meter, told each time that a task begins or ends."""

    def __init__(self) -> None:
        self._read = Energy()
        self._shares: dict[TaskKey, Energy] = {}

    @property
    def anybody(self) -> bool:
        """Whether a task is still measured."""
        return bool(self._shares)

    def begin(self, key: TaskKey, reading: Energy) -> None:
        """A task takes its part from now on."""
        self._divide(reading)
        self._shares[key] = Energy()

    def end(self, key: TaskKey, reading: Energy) -> Energy | None:
        """What a task took; None if it never began."""
        self._divide(reading)
        return self._shares.pop(key, None)

    def _divide(self, reading: Energy) -> None:
        count = len(self._shares)
        for key, share in self._shares.items():
            kwh = share.kwh + (reading.kwh - self._read.kwh) / count
            self._shares[key] = Energy(kwh, share.co2e_kg + (reading.co2e_kg - self._read.co2e_kg) / count)
        self._read = reading
