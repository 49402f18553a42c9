"""What a deployment stands for, whole and by digest: what its edges are told, and what one goes back to."""

import hashlib
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session

from controller.stores.models import resolve, version_rows
from controller.stores.serving import newest_library, newest_pipeline
from pipeline_runtime.compiling.steps import links_of
from pipeline_runtime.installed import node_types
from schemas.deployments import DeploymentSpec
from schemas.fleet import LibrarySpec
from schemas.manifest import WantedHealth, WantedModel, WantedPipeline
from schemas.names import BlobRef, FileRef, ModelRef, model_ref
from schemas.pipelines import PipelineSpec


class Content(BaseModel):
    """Either a pipeline with all that its nodes refer to, or a model."""

    model_config = ConfigDict(frozen=True)
    pipeline: WantedPipeline | None = None
    model: WantedModel | None = None

    @property
    def models(self) -> dict[ModelRef, int]:
        """The version that each reference stands for."""
        if self.pipeline is not None:
            return {ref: model.version for ref, model in self.pipeline.models.items()}
        return {f"{self.model.name}:{self.model.version}": self.model.version} if self.model else {}

    @property
    def answering(self) -> "Content":
        """The same without its shadows, which answer nobody."""
        if self.pipeline is None:
            return self
        return Content(pipeline=self.pipeline.model_copy(update={"shadows": {}, "content_id": ""}))

    @property
    def held(self) -> tuple[WantedModel, ...]:
        """Every model version in it, those of shadows too."""
        if self.pipeline is not None:
            return (*self.pipeline.models.values(), *self.pipeline.shadows.values())
        return (self.model,) if self.model is not None else ()


def wish_of(session: Session, deployment: DeploymentSpec) -> Content:
    """What a deployment stands for now.

    Raises:
        LookupError: something that it refers to is not there yet; the text says what it waits for.
    """
    if deployment.model is not None:
        return Content(model=_model(session, deployment.model))
    pipeline = wanted_pipeline(session, deployment.pipeline or "")
    health, shadow = deployment.health, deployment.shadow
    more: dict[str, object] = {}
    if health is not None:
        more["health"] = WantedHealth(
            watch_s=health.watch, min_messages=health.min_messages, max_failed=health.failed, max_p95_s=health.p95
        )
    if shadow is not None and (candidate := _shadow(session, pipeline, shadow.model, shadow.candidate)):
        more["shadows"] = {shadow.model: candidate}
    whole = pipeline.model_copy(update=more)
    digest = hashlib.sha256(whole.model_dump_json(exclude={"content_id"}).encode()).hexdigest()
    return Content(pipeline=whole.model_copy(update={"content_id": digest[:16]}))


def _shadow(session: Session, pipeline: WantedPipeline, ref: ModelRef, candidate: ModelRef) -> WantedModel | None:
    """The candidate, as long as there is one that is another version than that which answers."""
    found = resolve(session, ref=candidate)
    served = pipeline.models.get(ref)
    if found is None or served is None:
        return None
    shadow = WantedModel(name=found[0].name, version=found[0].version, card=found[1])
    return None if shadow == served else shadow


def _model(session: Session, ref: ModelRef) -> WantedModel:
    found = resolve(session, ref=ref)
    if found is None:
        model, _ = model_ref(ref)
        if not version_rows(session, model=model):
            raise LookupError(f"waits for the first version of model {model}")
        raise LookupError(f"waits for {ref}: model {model} has no such version or alias")
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
            models[ref] = _model(session, ref)
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


def differences(old: Content | None, new: Content) -> str:
    """What is other in the new content, for people."""
    if old is None:
        return "the first"
    return "; ".join(_differences(old, new)) or "the same"


def _differences(old: Content, new: Content) -> Iterator[str]:
    before, after = old.pipeline, new.pipeline
    if before is not None and after is not None and before.version != after.version:
        yield f"pipeline {after.name} {before.version} → {after.version}"
    for ref in sorted(old.models.keys() | new.models.keys()):
        was, becomes = old.models.get(ref), new.models.get(ref)
        if was != becomes and before is not None:
            yield f"{ref} {was or '–'} → {becomes or '–'}"
    if old.model is not None and new.model is not None and old.model != new.model:
        yield f"{new.model.name} {old.model.version} → {new.model.version}"
    if before is not None and after is not None:
        for field in ("libraries", "requirements", "shadows", "health"):
            if getattr(before, field) != getattr(after, field):
                yield f"other {field}"
