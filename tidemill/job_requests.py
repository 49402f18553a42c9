"""The requests about jobs and their runs."""

from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter

from schemas.jobs import JobSpec
from schemas.names import BlobRef, FileTree
from schemas.runs import RunState
from schemas.tasks import TaskSpec
from schemas.views import JobView, LogPage, ProgressPage, RunView, UsageView
from tidemill.asking import Asking, path_of, read_as

_TREE: TypeAdapter[FileTree] = TypeAdapter(FileTree)


class JobRequests(Asking):
    """One method for each request; see ``Client``."""

    def jobs(self) -> list[JobView]:
        """Every job."""
        return list(self._all("jobs", JobView))

    def job(self, name: str) -> JobView:
        """One job."""
        return self._one(path_of("jobs", name), JobView)

    def tagged_job(self, name: str) -> tuple[JobView, str]:
        """One job, and the tag by which ``put_job`` knows that nobody changed it meanwhile."""
        answer = self._exchange.get(path_of("jobs", name))
        return read_as(JobView, answer), answer.headers["ETag"]

    def put_job(self, spec: JobSpec, *, tag: str | None = None) -> JobView:
        """Change the job that has this tag, or, without one, make a new job.

        Raises:
            Stale: somebody changed it meanwhile.
            Conflict: there is a job of that name already.
        """
        headers = {"If-Match": tag} if tag else {"If-None-Match": "*"}
        document = spec.model_dump(mode="json")
        return read_as(
            JobView, self._exchange.send("PUT", path_of("jobs", spec.name), document=document, headers=headers)
        )

    def delete_job(self, name: str, *, cancel: bool = False) -> None:
        """Delete a job, its live runs with it if ``cancel``; its model versions stay."""
        self._exchange.send("DELETE", path_of("jobs", name), query={"cancel": cancel})

    def rename_job(self, name: str, to: str) -> JobView:
        """Give a job another name."""
        return read_as(JobView, self._exchange.send("POST", path_of("jobs", name, "rename"), document={"name": to}))

    def pause_job(self, name: str) -> JobView:
        """Let the schedule rest."""
        return read_as(JobView, self._exchange.send("POST", path_of("jobs", name, "pause")))

    def resume_job(self, name: str) -> JobView:
        """Let the schedule go on."""
        return read_as(JobView, self._exchange.send("POST", path_of("jobs", name, "resume")))

    def usage(self) -> UsageView:
        """What the kept runs of each job took, and all of them together."""
        return self._one("usage", UsageView)

    def try_job(self, spec: JobSpec, *, full: bool = False) -> TaskSpec:
        """What an edge would be told if the job ran now: its rows are selected, and nothing is queued."""
        document = spec.model_dump(mode="json")
        return read_as(TaskSpec, self._exchange.send("POST", "jobs/try", query={"full": full}, document=document))

    def run_job(self, name: str, *, full: bool = False) -> RunView:
        """Train now: queue a run of the job, with ``full`` on all rows."""
        return read_as(RunView, self._exchange.send("POST", path_of("jobs", name, "runs"), query={"full": full}))

    def runs(self, *, job: str | None = None, state: RunState | None = None, limit: int = 100) -> list[RunView]:
        """The newest ``limit`` runs, newest first."""
        found: list[RunView] = []
        for run in self._all("runs", RunView, {"job": job, "state": state, "limit": min(limit, 100)}):
            if len(found) == limit:
                break
            found.append(run)
        return found

    def run(self, run_id: UUID) -> RunView:
        """One run."""
        return self._one(path_of("runs", str(run_id)), RunView)

    def cancel_run(self, run_id: UUID) -> RunView:
        """Ask a run to stop."""
        return self._of_run(run_id, "cancel")

    def retry_run(self, run_id: UUID) -> RunView:
        """Queue a run of the same job as it was then, on data selected anew."""
        return self._of_run(run_id, "retry")

    def reproduce_run(self, run_id: UUID) -> RunView:
        """Queue a run on exactly what an earlier one was given."""
        return self._of_run(run_id, "reproduce")

    def logs(self, run_id: UUID, *, from_line: int = 0, wait_s: float = 0.0) -> LogPage:
        """Lines of the current attempt; when there are none yet, wait up to ``wait_s`` for some."""
        query = {"from_line": from_line, "wait_s": wait_s}
        return read_as(LogPage, self._exchange.get(path_of("runs", str(run_id), "logs"), query, wait_s=wait_s))

    def progress(self, run_id: UUID, *, from_point: int = 0) -> ProgressPage:
        """What the current attempt's scripts told of their progress."""
        return read_as(
            ProgressPage, self._exchange.get(path_of("runs", str(run_id), "progress"), {"from_point": from_point})
        )

    def run_files(self, run_id: UUID) -> FileTree:
        """Every file that a run was given and that it made."""
        return _TREE.validate_json(self._exchange.get(path_of("runs", str(run_id), "files")).content)

    def download_blob(self, ref: BlobRef, to: Path) -> None:
        """Write a blob's bytes to a file, checked by their digest; ``to`` is never half there."""
        self._save(path_of("blobs", ref.digest), ref, to)

    def _of_run(self, run_id: UUID, what: str) -> RunView:
        return read_as(RunView, self._exchange.send("POST", path_of("runs", str(run_id), what)))
