"""A program that starts a task as an agent does, says so, and then only waits to be killed."""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from edge_agent.execution import task_folder
from edge_agent.execution.executor import TaskKey
from schemas.tasks import TaskSpec
from tests.integration.workbench import make_executor
from transport.blob_store import BlobDirectory


async def main(kind: str, data: Path, run_id: str) -> None:
    """Start the task whose spec is in ``data/spec.json``."""
    spec = TaskSpec.model_validate_json((data / "spec.json").read_bytes())
    executor = make_executor(kind, data)
    request = task_folder.create(data / "tasks", TaskKey(UUID(run_id), 1), spec, BlobDirectory(data / "blobs"))
    environment = await executor.prepare(request, lambda _note: None)
    await executor.start(request, environment)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
