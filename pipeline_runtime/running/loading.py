"""Makes a plan ready to run, off to the side: loads what it refers to, warms it, builds its nodes."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pipeline_runtime.compiling.plan import Plan
from pipeline_runtime.libraries.library_module import Library
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.node_type import Fittings, emit_nothing
from pipeline_runtime.running.loaded import LiveNode, Loaded, named
from schemas.errors import BadInput
from schemas.names import LibraryName, ModelRef

Emit = Callable[..., bool]
"""Begins a run behind a node: takes what was loaded, the node's id, and what ``node_type.Emit`` takes."""


def load(  # noqa: PLR0913 - each is a fact that nothing else tells
    plan: Plan,
    version: int,
    *,
    models: Mapping[ModelRef, Path],
    libraries: Mapping[LibraryName, Path],
    before: Loaded | None = None,
    state: Path | None = None,
    emit: Emit | None = None,
) -> Loaded:
    """Load a plan; what ``before`` holds of the same file is used again. Blocks: call it through a thread.

    Args:
        plan: what to load.
        version: of the pipeline.
        models: the file of each model that the plan refers to.
        libraries: the file of each library.
        before: what was loaded last.
        state: a folder for what nodes must not lose when the process ends; each gets one of its own in it.
        emit: how nodes begin runs; without it they cannot.

    Raises:
        BadInput: naming the node whose model or library is not there, cannot be loaded, or does not fit it.
    """
    held_models = {model.path: model for model in before.models.values()} if before else {}
    held_libraries = {(library.name, library.path): library for library in before.libraries.values()} if before else {}
    loaded_models: dict[ModelRef, OnnxModel] = {}
    loaded_libraries: dict[LibraryName, Library] = {}
    loaded = Loaded(plan, version, loaded_models, loaded_libraries)
    for step in plan.steps:
        with named(step):
            model, library = step.links.model, step.links.library
            if model is not None and model not in loaded_models:
                path = _path(models, model, "model")
                loaded_models[model] = held_models.get(path) or _warm_model(path)
            if library is not None and library not in loaded_libraries:
                path = _path(libraries, library, "library")
                loaded_libraries[library] = held_libraries.get((library, path)) or Library(library, path)
            fittings = Fittings(
                node=step.id,
                models=loaded_models,
                libraries=loaded_libraries,
                pipeline=plan.name,
                inputs=tuple(map(str, step.inputs)),
                state=state / step.id if state else None,
                emit=partial(emit, loaded, step.id) if emit else emit_nothing,
            )
            loaded.nodes[step.id] = LiveNode(step, step.type.make(step.params, fittings))
    return loaded


def _path(paths: Mapping[str, Path], name: str, kind: str) -> Path:
    if name not in paths:
        raise BadInput(f"no {kind} {name!r} was given")
    return paths[name]


def _warm_model(path: Path) -> OnnxModel:
    model = OnnxModel(path)
    model.warm()
    return model
