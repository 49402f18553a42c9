"""Whether jobs without a gate of their own give what the gates of their models ask for. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from schemas.fleet import FleetDocument, JobDocument, ModelDocument
from schemas.gates import Gate
from schemas.jobs import JobSpec

Fault = tuple[str, str]
"""Where in its document, and what."""


def unmet_gates(
    documents: tuple[FleetDocument, ...], jobs: Iterable[JobSpec], gates: Mapping[str, Gate]
) -> Iterator[tuple[int, Fault]]:
    """What would be missing once the documents are applied to what there is: told of the job, or of the model."""
    places = {(document.kind, document.name): index for index, document in enumerate(documents)}
    written = {document.name: document for document in documents if isinstance(document, JobDocument)}
    models = {document.name: document.gate for document in documents if isinstance(document, ModelDocument)}
    for job in ({job.name: job for job in jobs} | written).values():
        gate = models.get(job.model, gates.get(job.model))
        if job.gate is not None or gate is None or not job.update_existing:
            continue
        for fault in gate.faults(job.better, holdout=job.holdout is not None):
            if job.name in written:
                why = f"it has no gate of its own, and that of model {job.model} judges its versions: {fault}"
                yield places["Job", job.name], ("", why)
            elif job.model in models:
                why = f"it judges the versions of job {job.name}, which has no gate of its own: {fault}"
                yield places["Model", job.model], ("gate", why)
