"""What is kept of runs beside the database: their logs and their progress, and who waits for more of it."""

from collections.abc import Iterable
from pathlib import Path

from controller.runs.logs import Attempt, RunLogs
from controller.runs.news import RunNews
from controller.runs.steps import Run


class RunRecords:
    """The files of all runs. Those of progress hold a JSON object a line."""

    def __init__(self, folder: Path) -> None:
        self.logs = RunLogs(folder / "logs")
        self.progress = RunLogs(folder / "progress")
        self.news = RunNews()

    def attempts(self) -> set[Attempt]:
        """The attempts of which there are files."""
        return self.logs.attempts() | self.progress.attempts()

    def forget(self, attempts: Iterable[Attempt]) -> None:
        """Remove the files of these attempts."""
        for run_id, attempt in attempts:
            self.logs.forget(run_id, attempt)
            self.progress.forget(run_id, attempt)

    def follow(self, run: Run) -> None:
        """The run took a step: tell who waits for it, and remember nothing of one that has ended."""
        self.logs.follow(run)
        self.progress.follow(run)
        self.news.announce(run.id)
