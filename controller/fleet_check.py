"""Checks the documents of one ``apply`` against each other and against what there is, before anything is changed."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from controller.query import check_job_query
from controller.schedule import check_schedule
from controller.stores.collection_changes import check_topics
from controller.wanted import references
from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.graph import compile as compile_graph
from pipeline_runtime.problems import BadPipeline
from schemas.errors import BadInput, NotFound
from schemas.fleet import (
    CollectionDocument,
    DeploymentDocument,
    Fleet,
    FleetDocument,
    JobDocument,
    LibraryDocument,
    ModelDocument,
    PipelineDocument,
)
from schemas.names import File, model_ref
from schemas.pipelines import PipelineSpec
from schemas.views import FieldError
from transport.blob_store import BlobDirectory

_LIBRARY_BYTES = 4 * 1024 * 1024


class BadFleet(BadInput):
    """Documents that cannot be applied; ``errors`` is everything that is wrong with them."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        self.errors = errors
        lines = [f"  {error.where}: {error.message}" for error in errors]
        super().__init__("\n".join(["nothing was applied:", *lines]))


@dataclass(frozen=True, slots=True)
class Known:
    """The names that there are already."""

    edges: frozenset[str]
    collections: frozenset[str]
    models: frozenset[str]
    libraries: frozenset[str]
    pipelines: frozenset[str]


@dataclass(frozen=True, slots=True)
class FleetCheck:
    """One check of one fleet."""

    fleet: Fleet
    known: Known
    blobs: BlobDirectory

    def run(self) -> None:
        """Check every document. Raises BadFleet with all that is wrong."""
        errors = tuple(
            FieldError(where=f"documents[{index}]{f'.{where}' if where else ''}", message=f"{document.name}: {message}")
            for index, document in enumerate(self.fleet.documents)
            for where, message in (*self._twice(index), *self._check(document))
        )
        if errors:
            raise BadFleet(errors)

    def _twice(self, index: int) -> Iterator[tuple[str, str]]:
        document = self.fleet.documents[index]
        for other in self.fleet.documents[:index]:
            if (other.kind, other.name) == (document.kind, document.name):
                yield "name", f"there are two documents of kind {document.kind} with this name"

    def _check(self, document: FleetDocument) -> Iterator[tuple[str, str]]:
        match document:
            case CollectionDocument():
                yield from _problem("topics", check_topics, document)
            case JobDocument():
                yield from self._check_job(document)
            case LibraryDocument():
                yield from self._check_library(document)
            case PipelineDocument():
                yield from self._check_pipeline(document)
            case DeploymentDocument():
                yield from self._check_deployment(document)
            case ModelDocument(file=file) if file is not None:
                yield from self._check_file("file", file)

    def _check_job(self, job: JobDocument) -> Iterator[tuple[str, str]]:
        if job.edge not in self.known.edges:
            yield "edge", f"there is no edge {job.edge!r}; `tidemill edge add {job.edge}` enrols it"
        collections = self._names("Collection", self.known.collections)
        for index, query in enumerate(job.queries):
            yield from _problem(f"queries[{index}].query", check_job_query, query, collections)
        if job.schedule is not None:
            yield from _problem("schedule", check_schedule, job.schedule)
        files = [(f"scripts[{index}]", ref) for index, ref in enumerate(job.scripts)]
        files += [(f"inputs[{index}]", ref) for index, ref in enumerate(job.inputs)]
        files += [("requirements", job.requirements)] if job.requirements else []
        for where, ref in files:
            yield from self._check_file(where, ref)
        if job.base_model and model_ref(job.base_model)[0] not in self._names("Model", self.known.models) | {job.model}:
            yield "base_model", f"there is no model {job.base_model!r}"

    def _check_library(self, library: LibraryDocument) -> Iterator[tuple[str, str]]:
        faults = list(self._check_file("file", library.file))
        yield from faults
        if faults or library.file.blob is None:
            return
        source = self.blobs.read_bytes(library.file.blob.digest, _LIBRARY_BYTES)
        try:
            module = ast.parse(source, filename=library.file.path)
        except (SyntaxError, ValueError) as error:
            line = f" line {error.lineno}:" if isinstance(error, SyntaxError) else ""
            yield "file", f"{library.file.path}:{line} is no Python: {error}"
            return
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        if not any(isinstance(node, functions) and node.name == "exec" for node in module.body):
            yield "file", f"{library.file.path} has no function `exec(input)`"

    def _check_pipeline(self, pipeline: PipelineDocument) -> Iterator[tuple[str, str]]:
        spec = PipelineSpec.model_validate(pipeline.model_dump(exclude={"kind"}))
        try:
            compile_graph(spec, builtin_types())
        except BadPipeline as error:
            yield from ((problem.where, problem.message) for problem in error.problems)
            return
        models = self._names("Model", self.known.models) | self._trained()
        libraries = self._names("Library", self.known.libraries)
        for kind, ref in references(spec):
            if kind == "model" and model_ref(ref)[0] not in models:
                yield "nodes", f"there is no model {ref!r}, and no job makes one"
            if kind == "library" and ref not in libraries:
                yield "nodes", f"there is no library {ref!r}"

    def _check_deployment(self, deployment: DeploymentDocument) -> Iterator[tuple[str, str]]:
        for index, edge in enumerate(deployment.edges):
            if edge not in self.known.edges:
                yield f"edges[{index}]", f"there is no edge {edge!r}; `tidemill edge add {edge}` enrols it"
        if deployment.pipeline and deployment.pipeline not in self._names("Pipeline", self.known.pipelines):
            yield "pipeline", f"there is no pipeline {deployment.pipeline!r}"
        models = self._names("Model", self.known.models) | self._trained()
        if deployment.model and model_ref(deployment.model)[0] not in models:
            yield "model", f"there is no model {deployment.model!r}"

    def _check_file(self, where: str, ref: File) -> Iterator[tuple[str, str]]:
        if ref.blob is None:
            yield where, f"{ref.path} was named but not uploaded"
            return
        try:
            size = self.blobs.size(ref.blob.digest)
        except NotFound:
            yield where, f"{ref.path}: the controller holds no {ref.blob.digest}; upload it first"
            return
        if size != ref.blob.size_bytes:
            yield where, f"{ref.path} has {size} bytes, not {ref.blob.size_bytes}"

    def _names(self, kind: str, known: frozenset[str]) -> frozenset[str]:
        return known | {document.name for document in self.fleet.documents if document.kind == kind}

    def _trained(self) -> frozenset[str]:
        return frozenset(document.model for document in self.fleet.documents if isinstance(document, JobDocument))


def _problem(where: str, check: Callable[..., object], *about: object) -> Iterator[tuple[str, str]]:
    """What a check complains about, and where."""
    try:
        check(*about)
    except BadInput as error:
        yield where, str(error)
