"""Checks the documents of one ``apply`` against each other and against what there is, before anything is changed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

from controller.data.query_check import QueryCheck
from controller.fleets.gate_check import Fault, unmet_gates
from controller.fleets.library_check import check_library
from controller.schedule import check_schedule
from controller.stores.collection_changes import added_columns, check_new, check_topics
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.compiling.problems import BadPipeline
from pipeline_runtime.compiling.steps import links_of
from pipeline_runtime.installed import node_types
from pipeline_runtime.libraries.library_module import MAX_SOURCE_BYTES
from pipeline_runtime.node_type import Links
from schemas.collections import CollectionSpec
from schemas.errors import BadInput, Conflict, NotFound
from schemas.fleet import (
    CollectionDocument,
    DeploymentDocument,
    Fleet,
    FleetDocument,
    JobDocument,
    LibraryDocument,
    MaintenanceWindowDocument,
    ModelDocument,
    PipelineDocument,
)
from schemas.gates import Gate
from schemas.jobs import JobSpec
from schemas.names import File, FileRef, ModelRef, model_ref
from schemas.pipelines import PipelineSpec
from schemas.queries import Query
from schemas.schedules import NewRows
from schemas.views import FieldError
from transport.blob_store import BlobDirectory


class BadFleet(BadInput):
    """Documents that cannot be applied; ``errors`` is everything that is wrong with them."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        self.errors = errors
        lines = [f"  {error.where}: {error.message}" for error in errors]
        super().__init__("\n".join(["nothing was applied:", *lines]))


@dataclass(frozen=True, slots=True)
class Known:
    """What there is already."""

    edges: frozenset[str]
    collections: tuple[CollectionSpec, ...]
    models: frozenset[str]
    libraries: frozenset[str]
    pipelines: frozenset[str]
    secrets: frozenset[str]
    jobs: tuple[JobSpec, ...]
    gates: Mapping[str, Gate]  # of models


class FleetCheck:
    """One check of one fleet. Blocks: it reads libraries and tries queries."""

    def __init__(self, fleet: Fleet, known: Known, blobs: BlobDirectory, queries: QueryCheck) -> None:
        self._documents, self._known, self._blobs, self._queries = fleet.documents, known, blobs, queries
        trained = {document.model for document in fleet.documents if isinstance(document, JobDocument)}
        self._models = known.models | self._named("Model") | trained
        self._libraries = known.libraries | self._named("Library")
        self._pipelines = known.pipelines | self._named("Pipeline")
        self._collections = {spec.name: spec for spec in known.collections}  # and those that pass, as they will be

    def run(self) -> None:
        """Check every document. Raises BadFleet with all that is wrong."""
        found = [*self._repeated(), *self._of_kind(collections=True), *self._of_kind(collections=False)]
        found += unmet_gates(self._documents, self._known.jobs, self._known.gates)
        if found:
            errors = (_error(index, self._documents[index], fault) for index, fault in sorted(found, key=itemgetter(0)))
            raise BadFleet(tuple(errors))

    def _named(self, kind: str) -> frozenset[str]:
        return frozenset(document.name for document in self._documents if document.kind == kind)

    def _repeated(self) -> Iterator[tuple[int, Fault]]:
        seen: set[tuple[str, str]] = set()
        for index, document in enumerate(self._documents):
            if (document.kind, document.name) in seen:
                yield index, ("name", f"there are two documents of kind {document.kind} with this name")
            seen.add((document.kind, document.name))

    def _of_kind(self, *, collections: bool) -> Iterator[tuple[int, Fault]]:
        """Collections go first: queries are tried on them as they will be."""
        for index, document in enumerate(self._documents):
            if isinstance(document, CollectionDocument) is collections:
                yield from ((index, fault) for fault in self._check(document))

    def _check(self, document: FleetDocument) -> Iterator[Fault]:
        match document:
            case CollectionDocument():
                yield from self._check_collection(document)
            case JobDocument():
                yield from self._check_job(document)
            case LibraryDocument():
                yield from self._check_library(document)
            case PipelineDocument():
                yield from self._check_pipeline(document)
            case DeploymentDocument():
                yield from self._check_deployment(document)
            case MaintenanceWindowDocument():
                yield from self._check_window(document)
            case ModelDocument(file=file) if file is not None:
                yield from self._check_file("file", file)

    def _check_collection(self, document: CollectionDocument) -> Iterator[Fault]:
        before = self._collections.get(document.name)
        faults = list(_problem("topics", check_topics, document))
        if before is None:
            faults += _problem("name", lambda: check_new(document, others=self._collections))
        else:
            faults += _problem("columns", added_columns, before, document)
        if not faults:
            self._collections[document.name] = document
        yield from faults

    def _check_job(self, job: JobDocument) -> Iterator[Fault]:
        if job.edge is not None:
            yield from self._check_edge("edge", job.edge)
        for index, query in enumerate(job.queries):
            yield from _problem(f"queries[{index}].query", self._queries.query, query, self._collections.values())
        if job.holdout is not None:
            yield from _problem("holdout.query", self._queries.holdout, job.holdout, self._collections.values())
        if job.schedule is not None:
            yield from _problem("schedule", check_schedule, job.schedule)
        yield from self._check_triggers(job)
        files = [(f"scripts[{index}]", ref) for index, ref in enumerate(job.scripts)]
        files += [(f"inputs[{index}]", ref) for index, ref in enumerate(job.inputs)]
        files += [("requirements", job.requirements)] if isinstance(job.requirements, FileRef) else []
        for where, ref in files:
            yield from self._check_file(where, ref)
        if job.base_model:
            yield from self._check_model("base_model", job.base_model)
        for index, use in enumerate(job.secrets):
            if use.secret not in self._known.secrets:
                yield f"secrets[{index}]", f"secret {use.secret} is not set: `tidemill secret set {use.secret}`"

    def _check_triggers(self, job: JobDocument) -> Iterator[Fault]:
        for index, trigger in enumerate(job.triggers):
            where = f"triggers[{index}]"
            if isinstance(trigger, NewRows):
                if trigger.collection not in self._collections:
                    yield f"{where}.collection", f"there is no collection {trigger.collection!r}"
            else:
                query = Query(query=trigger.query)
                yield from _problem(f"{where}.query", self._queries.query, query, self._collections.values())

    def _check_library(self, library: LibraryDocument) -> Iterator[Fault]:
        if isinstance(library.requirements, FileRef):
            yield from self._check_file("requirements", library.requirements)
        faults = list(self._check_file("file", library.file))
        yield from faults
        if not faults and library.file.blob is not None:
            with self._blobs.path(library.file.blob.digest).open("rb") as file:
                source = file.read(MAX_SOURCE_BYTES + 1)
            yield from _problem("file", check_library, source, library.file.path)

    def _check_pipeline(self, pipeline: PipelineDocument) -> Iterator[Fault]:
        spec = PipelineSpec.model_validate(pipeline.model_dump(exclude={"kind"}))
        try:
            compile_graph(spec, node_types())
        except BadPipeline as error:
            yield from ((problem.where, problem.message) for problem in error.problems)
            return
        for index, node in enumerate(spec.nodes):
            links, where = links_of(node, node_types()), f"nodes[{index}]"
            faults = self._check_model(f"{where}.model", links.model) if links.model else iter(())
            if links.library and links.library not in self._libraries:
                faults = chain(faults, [(f"{where}.library", f"there is no library {links.library!r}")])
            faults = chain(faults, self._check_collects(where, links))
            yield from ((place, f"node {node.id!r}: {fault}") for place, fault in faults)

    def _check_collects(self, where: str, links: Links) -> Iterator[Fault]:
        if links.collects is None:
            return
        collection = self._collections.get(links.collects)
        if collection is None:
            yield f"{where}.collection", f"there is no collection {links.collects!r}"
            return
        for column in links.columns:
            if column not in collection.columns:
                yield f"{where}.columns", f"collection {links.collects} has no column {column!r}"

    def _check_deployment(self, deployment: DeploymentDocument) -> Iterator[Fault]:
        for index, edge in enumerate(deployment.edges):
            yield from self._check_edge(f"edges[{index}]", edge)
        if deployment.pipeline and deployment.pipeline not in self._pipelines:
            yield "pipeline", f"there is no pipeline {deployment.pipeline!r}"
        if deployment.model:
            yield from self._check_model("model", deployment.model)
        if deployment.shadow:
            yield from self._check_model("shadow.with", deployment.shadow.candidate)

    def _check_window(self, window: MaintenanceWindowDocument) -> Iterator[Fault]:
        for index, edge in enumerate(window.edges):
            yield from self._check_edge(f"edges[{index}]", edge)
        yield from _problem("opens", check_schedule, window.schedule)

    def _check_edge(self, where: str, edge: str) -> Iterator[Fault]:
        if edge not in self._known.edges:
            yield where, f"there is no edge {edge!r}; `tidemill edge add {edge}` enrols it"

    def _check_model(self, where: str, ref: ModelRef) -> Iterator[Fault]:
        if model_ref(ref)[0] not in self._models:
            yield where, f"there is no model {ref!r}, and no job makes one"

    def _check_file(self, where: str, ref: File) -> Iterator[Fault]:
        if ref.blob is None:
            yield where, f"{ref.path} was named but not uploaded"
            return
        try:
            size = self._blobs.keep_on(ref.blob.digest).size_bytes  # until what is applied names it
        except NotFound:
            yield where, f"{ref.path}: the controller holds no {ref.blob.digest}; upload it first"
            return
        if size != ref.blob.size_bytes:
            yield where, f"{ref.path} has {size} bytes, not {ref.blob.size_bytes}"


def _error(index: int, document: FleetDocument, fault: Fault) -> FieldError:
    where, message = fault
    place = f"documents[{index}]{f'.{where}' if where else ''}"
    return FieldError(where=place, message=f"{document.name}: {message}")


def _problem(where: str, check: Callable[..., object], *about: object) -> Iterator[Fault]:
    """What a check complains about, and where."""
    try:
        check(*about)
    except (BadInput, Conflict) as error:
        yield where, str(error)
