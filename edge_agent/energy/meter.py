"""The only place that knows codecarbon: a program that measures this machine's energy for as long as its input is open.

    python -m edge_agent.energy.meter COUNTRY

For each line of input it prints one: ``{"energy_kwh": …, "co2e_kg": …}`` since it began. It is a program of its own
because what codecarbon brings along would take more memory than all of the agent.
"""

import json
import os
import sys

from codecarbon import OfflineEmissionsTracker
from codecarbon.output_methods.base_output import BaseOutput
from codecarbon.output_methods.emissions_data import EmissionsData

SAMPLE_S = 15


class _Last(BaseOutput):
    """Keeps the newest total."""

    total: EmissionsData

    def out(self, total: EmissionsData, _delta: EmissionsData) -> None:
        """Take what ``flush`` tells."""
        self.total = total


def main(country: str) -> None:
    """Answer until there is no more input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else codecarbon prints
    last = _Last()
    tracker = OfflineEmissionsTracker(
        country_iso_code=country,
        tracking_mode="machine",
        measure_power_secs=SAMPLE_S,
        output_methods=[],
        output_handlers=[last],
        allow_multiple_runs=True,
        log_level="error",
    )
    tracker.start()
    for _ in sys.stdin:
        tracker.flush()
        told = {"energy_kwh": last.total.energy_consumed, "co2e_kg": last.total.emissions}
        answers.write(f"{json.dumps(told)}\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
