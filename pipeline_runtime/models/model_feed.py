"""Which part of a model node's input goes into which of the model's inputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline_runtime.models.feature_rows import check_features, rows_of, wrong_feature
from pipeline_runtime.models.onnx_values import Read, is_optional, reader_of
from pipeline_runtime.models.tensors import kind_of
from schemas.errors import BadInput, BadPayload
from schemas.models import TensorSpec

Feed = Mapping[str, Any]
"""By the input's name what ONNX Runtime takes for it."""

ReadFeed = Callable[[object], Feed]
"""Turns a node's input into a feed. Raises BadPayload."""


def feed_by_features(inputs: Sequence[TensorSpec], features: Sequence[str]) -> ReadFeed:
    """Rows of the named features for the only input, or a column each for inputs that have the features' names.

    Raises:
        BadInput: the model has several inputs of other names, or one whose rows have not so many values, or that is
            no tensor.
    """
    if len(inputs) == 1:
        return _feed_of_rows(inputs[0], features)
    readers = {spec.name: reader_of(spec) for spec in inputs}
    if sorted(readers) != sorted(features):
        raise BadInput(f"`features` are for one input, or one each; this model has {_names(inputs)}: use `feed`")
    deep = {spec.name: len(spec.shape) > 1 for spec in inputs}

    def columns(value: object) -> Feed:
        rows = rows_of(value, features)
        feed: dict[str, object] = {}
        for place, name in enumerate(features):
            column = [[row[place]] if deep[name] else row[place] for row in rows]
            feed[name] = _named(name, readers[name], column)
        return feed

    return columns


def _feed_of_rows(spec: TensorSpec, features: Sequence[str]) -> ReadFeed:
    check_features(spec, features)
    reader = reader_of(spec)

    def rows(value: object) -> Feed:
        found = rows_of(value, features)
        try:
            return {spec.name: reader(found)}
        except BadPayload as error:
            raise (wrong_feature(spec, found, features) or error) from error

    return rows


def feed_by_paths(inputs: Sequence[TensorSpec], paths: Mapping[str, str], parents: Sequence[str]) -> ReadFeed:
    """What lies at a path, for each input.

    Args:
        inputs: of the model.
        paths: by the input's name where its value is.
        parents: the node's inputs as written, as far as they are known.

    Raises:
        BadInput: there is no such input, or one of those that the model needs has no path.
    """
    by_name = {spec.name: spec for spec in inputs}
    if unknown := [name for name in paths if name not in by_name]:
        raise BadInput(f"`feed`: the model has no input {unknown[0]!r}; it has {_names(inputs)}")
    if missing := [spec.name for spec in inputs if spec.name not in paths and not is_optional(spec)]:
        raise BadInput(f"`feed` does not say what goes into {', '.join(missing)}")
    readers = {name: (_path(path, parents), reader_of(by_name[name])) for name, path in paths.items()}
    left_out = dict.fromkeys(spec.name for spec in inputs if spec.name not in paths)

    def read(value: object) -> Feed:
        return left_out | {name: _named(name, reader, _at(value, path)) for name, (path, reader) in readers.items()}

    return read


def feed_by_name(inputs: Sequence[TensorSpec]) -> ReadFeed:
    """The whole value for the only input, or one object with the inputs' names for several. Raises BadInput."""
    readers = {spec.name: reader_of(spec) for spec in inputs}
    if not inputs:
        return lambda _: {}
    if len(inputs) == 1:
        (spec,) = inputs
        reader = readers[spec.name]
        return lambda value: {spec.name: reader(value)}
    optional = {spec.name for spec in inputs if is_optional(spec)}

    def read(value: object) -> Feed:
        if not isinstance(value, Mapping):
            raise BadPayload(f"the model wants an object with {_names(inputs)}, and was given {kind_of(value)}")
        if missing := [name for name in readers if name not in value and name not in optional]:
            raise BadPayload(f"the model's input {missing[0]!r} is missing; name what goes into it with `feed`")
        return {name: _named(name, reader, value.get(name)) for name, reader in readers.items()}

    return read


def _named(name: str, reader: Read, value: object) -> object:
    try:
        return reader(value)
    except BadPayload as error:
        raise BadPayload(f"input {name!r}: {error}") from error


def _path(path: str, parents: Sequence[str]) -> tuple[str, ...]:
    """The keys to follow from the node's input; with one parent that is the parent's own result."""
    parent = next((ref for ref in parents if path == ref or path.startswith(f"{ref}.")), None)
    if parent is None:
        if len(parents) > 1:
            raise BadInput(f"`feed`: {path!r} begins with none of the node's inputs, {', '.join(parents)}")
        return tuple(path.split("."))
    fields = tuple(path[len(parent) + 1 :].split(".")) if path != parent else ()
    return fields if len(parents) == 1 else (parent, *fields)


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(value, Mapping):
            raise BadPayload(f"there is no {'.'.join(path)}: {key!r} is looked for in {kind_of(value)}")
        if key not in value:
            raise BadPayload(f"there is no {'.'.join(path)}: {key!r} is missing")
        value = value[key]
    return value


def _names(inputs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in inputs) or "no input"
