"""Makes a plan ready to run, off to the side: loads what it refers to, warms it, builds its nodes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline_runtime.lane import LiveStep
from pipeline_runtime.library_module import Library
from pipeline_runtime.node_type import Fittings
from pipeline_runtime.onnx_model import OnnxModel
from pipeline_runtime.plan import Plan, Step
from schemas.errors import BadInput, TidemillError
from schemas.names import LibraryName, ModelRef


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plan with everything it needs in memory."""

    plan: Plan
    version: int
    models: Mapping[ModelRef, OnnxModel]
    libraries: Mapping[LibraryName, Library]
    steps: Mapping[str, LiveStep]  # by the node's id


def load(
    plan: Plan,
    version: int,
    *,
    models: Mapping[ModelRef, Path],
    libraries: Mapping[LibraryName, Path],
    before: Loaded | None = None,
) -> Loaded:
    """Load a plan; what ``before`` holds of the same file is used again. Blocks: call it through a thread.

    Raises:
        BadInput: naming the node whose model or library is not there, cannot be loaded, or does not fit it.
    """
    held_models = {model.path: model for model in before.models.values()} if before else {}
    held_libraries = {(library.name, library.path): library for library in before.libraries.values()} if before else {}
    loaded_models: dict[ModelRef, OnnxModel] = {}
    loaded_libraries: dict[LibraryName, Library] = {}
    steps = {}
    for step in plan.steps:
        with _named(step):
            model, library = step.links.model, step.links.library
            if model is not None and model not in loaded_models:
                path = _path(models, model, "model")
                loaded_models[model] = held_models.get(path) or _warm_model(path)
            if library is not None and library not in loaded_libraries:
                path = _path(libraries, library, "library")
                loaded_libraries[library] = held_libraries.get((library, path)) or Library(library, path)
            node = step.type.make(step.params, Fittings(step.id, loaded_models, loaded_libraries, plan.name))
            join_all = step.join == "all"
            steps[step.id] = LiveStep(step.id, step.inputs, step.parents, join_all, step.on_error, node)
    return Loaded(plan, version, loaded_models, loaded_libraries, steps)


@contextmanager
def _named(step: Step) -> Iterator[None]:
    try:
        yield
    except TidemillError as error:
        raise BadInput(f"node {step.id!r}: {error}") from error


def _path(paths: Mapping[str, Path], name: str, kind: str) -> Path:
    if name not in paths:
        raise BadInput(f"no {kind} {name!r} was given")
    return paths[name]


def _warm_model(path: Path) -> OnnxModel:
    model = OnnxModel(path)
    model.warm()
    return model
