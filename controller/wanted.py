"""What should be on an edge, from deployments and live runs, and what is still missing for it."""

from dataclasses import dataclass, field

from sqlmodel import Session

from controller.stores.edges import labels_of, list_edges
from controller.stores.live_runs import wanted_runs
from controller.stores.models import resolve
from controller.stores.serving import list_deployments, newest_library, newest_pipeline
from controller.stores.tables import EdgeRow
from pipeline_runtime.compiling.steps import links_of
from pipeline_runtime.installed import node_types
from schemas.fleet import DeploymentSpec, LibrarySpec
from schemas.manifest import Manifest, WantedModel, WantedPipeline, WantedRun
from schemas.names import BlobRef, FileRef, ModelRef, model_ref
from schemas.pipelines import PipelineSpec


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an edge should hold, and per deployment why it cannot be wanted yet."""

    models: tuple[WantedModel, ...] = ()
    pipelines: tuple[WantedPipeline, ...] = ()
    runs: tuple[WantedRun, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)  # deployment → what it waits for

    def manifest(self, edge: str, generation: int) -> Manifest:
        """The document that says so."""
        return Manifest(edge=edge, generation=generation, models=self.models, pipelines=self.pipelines, runs=self.runs)


def wanted_on(session: Session, edge: EdgeRow) -> Wanted:
    """What should be on an edge now."""
    models: dict[tuple[str, int], WantedModel] = {}
    pipelines: dict[str, WantedPipeline] = {}
    missing: dict[str, str] = {}
    for deployment in list_deployments(session):
        if not chooses(deployment, edge):
            continue
        if deployment.model is not None:
            model = wanted_model(session, deployment.model)
            if model is None:
                missing[deployment.name] = f"waits for the first version of model {deployment.model}"
            else:
                models[model.name, model.version] = model
        elif deployment.pipeline is not None:
            try:
                pipelines[deployment.pipeline] = wanted_pipeline(session, deployment.pipeline)
            except LookupError as error:
                missing[deployment.name] = str(error.args[0])
    runs = wanted_runs(session, edge=edge.name)
    return Wanted(tuple(models.values()), tuple(pipelines.values()), runs, missing)


def users_of(session: Session, model: str) -> list[str]:
    """The edges on which a deployment wants some version of a model, by itself or for a pipeline."""
    using = [deployment for deployment in list_deployments(session) if _uses(session, deployment, model)]
    return [edge.name for edge in list_edges(session) if any(chooses(each, edge) for each in using)] if using else []


def _uses(session: Session, deployment: DeploymentSpec, model: str) -> bool:
    if deployment.model is not None:
        return model_ref(deployment.model)[0] == model
    row = newest_pipeline(session, name=deployment.pipeline or "")
    spec = PipelineSpec.model_validate_json(row.spec) if row else None
    return spec is not None and any(kind == "model" and model_ref(ref)[0] == model for kind, ref in references(spec))


def chooses(deployment: DeploymentSpec, edge: EdgeRow) -> bool:
    """Whether a deployment means this edge, by name or because it has all the labels."""
    if edge.name in deployment.edges:
        return True
    labels = labels_of(edge)
    return bool(deployment.labels) and all(labels.get(key) == value for key, value in deployment.labels.items())


def wanted_model(session: Session, ref: ModelRef) -> WantedModel | None:
    """The version that a reference stands for now; None if there is none yet."""
    found = resolve(session, ref=ref)
    if found is None:
        return None
    card, blob = found
    return WantedModel(name=card.name, version=card.version, card=blob)


def wanted_pipeline(session: Session, name: str) -> WantedPipeline:
    """The pipeline's newest version with what its nodes refer to.

    Raises:
        LookupError: something that it refers to is not there yet; the text says what it waits for.
    """
    row = newest_pipeline(session, name=name)
    if row is None:
        raise LookupError(f"waits for pipeline {name}")
    models: dict[ModelRef, WantedModel] = {}
    libraries: dict[str, BlobRef] = {}
    requirements: dict[str, BlobRef | tuple[str, ...]] = {}
    for kind, ref in references(PipelineSpec.model_validate_json(row.spec)):
        if kind == "model":
            model = wanted_model(session, ref)
            if model is None:
                raise LookupError(f"waits for the first version of model {ref}")
            models[ref] = model
        else:
            row_of_library = newest_library(session, name=ref)
            library = LibrarySpec.model_validate_json(row_of_library.spec) if row_of_library else None
            if library is None or library.file.blob is None:
                raise LookupError(f"waits for library {ref}")
            libraries[ref] = library.file.blob
            if wanted := _requirements(library):
                requirements[ref] = wanted
    return WantedPipeline(
        name=name,
        version=row.version,
        spec=BlobRef.model_validate_json(row.blob),
        models=models,
        libraries=libraries,
        requirements=requirements,
    )


def _requirements(library: LibrarySpec) -> BlobRef | tuple[str, ...] | None:
    written = library.requirements
    return written.blob if isinstance(written, FileRef) else written


def references(spec: PipelineSpec) -> list[tuple[str, str]]:
    """The models and libraries that a pipeline's nodes refer to, as (``model`` or ``library``, reference)."""
    found: list[tuple[str, str]] = []
    for node in spec.nodes:
        links = links_of(node, node_types())
        found += [("model", links.model)] if links.model else []
        found += [("library", links.library)] if links.library else []
    return found
