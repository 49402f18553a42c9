"""Makes a plan ready to run, off to the side: loads what it refers to, warms it, builds its nodes."""

import logging
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pipeline_runtime.compiling.plan import Plan, Step
from pipeline_runtime.libraries.library_module import Library
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.node_type import SKIPPED, Fittings, Node, emit_nothing
from pipeline_runtime.running.loaded import LiveNode, Loaded, named
from pipeline_runtime.running.run import Run
from schemas.errors import BadInput, TidemillError
from schemas.names import LibraryName, ModelRef

log = logging.getLogger(__name__)

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
    optional: Container[str] = (),
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
        optional: ids of nodes that nothing depends on: one that cannot be made does nothing, and ``left_out`` says why.

    Raises:
        BadInput: naming the node whose model or library is not there, cannot be loaded, or does not fit it.
    """
    held_models = {model.path: model for model in before.models.values()} if before else {}
    held_libraries = {(library.name, library.path): library for library in before.libraries.values()} if before else {}
    loaded_models: dict[ModelRef, OnnxModel] = {}
    loaded_libraries: dict[LibraryName, Library] = {}
    loaded = Loaded(plan, version, loaded_models, loaded_libraries, on_disk=state is not None)
    for step in plan.steps:
        with _optional(loaded, step, optional), named(step):
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


@contextmanager
def _optional(loaded: Loaded, step: Step, optional: Container[str]) -> Iterator[None]:
    try:
        yield
    except TidemillError as error:
        if step.id not in optional:
            raise
        log.warning("node left out", extra={"node": step.id, "reason": str(error)})
        loaded.left_out[step.id] = str(error)
        loaded.nodes[step.id] = LiveNode(step, _LeftOut())


class _LeftOut(Node):
    """Stands for a node that could not be made."""

    def resolve(self, _value: object, _run: Run, /) -> object:
        """Nothing."""
        return SKIPPED


def _path(paths: Mapping[str, Path], name: str, kind: str) -> Path:
    if name not in paths:
        raise BadInput(f"no {kind} {name!r} was given")
    return paths[name]


def _warm_model(path: Path) -> OnnxModel:
    model = OnnxModel(path)
    model.warm()
    return model
