"""Makes runs and versions and forgets them at once, until it is killed; tells of each step."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from controller.retention import Retention
from controller.runs.records import RunRecords
from controller.stores.database import Database, open_database
from controller.stores.jobs import save_job
from controller.stores.models import add_version, ensure_model, move_alias, next_version
from controller.stores.tables import RunRow
from schemas.jobs import JobSpec
from schemas.models import MODEL_FILE, Lineage, ModelVersion, Signature
from schemas.runs import RunState
from transport.blob_store import BlobDirectory


def step(database: Database, blobs: BlobDirectory, records: RunRecords, job: JobSpec) -> None:
    """A run with its log, and a version with its files."""
    now, run_id = datetime.now(UTC), uuid4()
    task = blobs.put_bytes(f'{{"script": "{blobs.put_bytes(run_id.bytes).digest}"}}'.encode())
    with database.transaction() as session:
        version = next_version(session, model=job.model)
        card = ModelVersion(
            name=job.model,
            version=version,
            files={MODEL_FILE: blobs.put_bytes(f"model {run_id}".encode())},
            additional={"weights": blobs.put_bytes(f"weights {run_id}".encode())},
            signature=Signature(inputs=(), outputs=()),
            lineage=Lineage(run_id=run_id, job=job.name),
            created_at=now,
        )
        add_version(session, card=card, card_blob=blobs.put_bytes(card.model_dump_json().encode()), job=job.name)
        move_alias(session, model=job.model, alias="champion", version=version, reason="", now=now)
        fields: dict[str, Any] = {
            "job": job.name,
            "spec": job.model_dump_json(),
            "trigger": "manual",
            "edge": "press-1",
        }
        run = RunRow(id=run_id, **fields, scheduled_at=now, created_at=now, state=RunState.SUCCEEDED, ended_at=now)
        run.task, run.attempt = task.model_dump_json(), 1
        session.add(run)
    records.logs.append(run_id, 1, first_line=0, lines=["trained"])


async def main(folder: Path) -> None:
    """Go on until killed. Whatever is not named is swept, however young: nothing else writes here."""
    database, blobs = open_database(f"sqlite:///{folder / 'control.db'}"), BlobDirectory(folder / "blobs")
    records = RunRecords(folder)
    retention = Retention(database, blobs, records)
    keep = {"versions": 1, "runs": 1}
    job = JobSpec.model_validate(
        {"name": "retrain", "model": "iris", "edge": "press-1", "scripts": ["t.py"], "keep": keep}
    )
    with database.transaction() as session:
        ensure_model(session, name=job.model, now=datetime.now(UTC))
        save_job(session, spec=job, now=datetime.now(UTC))
    while True:
        for _ in range(3):
            step(database, blobs, records, job)
            tell("made")
        await retention.forget_all()
        tell("forgotten")
        await retention.sweep(young_s=-60)
        tell("swept")


def tell(what: str) -> None:
    """Let the test count steps."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
