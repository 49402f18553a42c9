"""YAML documents together with the line on which each part of them stands."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from yaml.constructor import SafeConstructor

from schemas.errors import BadInput, NotFound, TooLarge

LARGEST_FILE_BYTES = 4 * 1024 * 1024


class _Loader(yaml.SafeLoader):
    """Plain words as YAML 1.2 reads them: ``on`` and ``no`` are texts, ``1e-3`` is a number, a date is a text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


class _Dumper(yaml.SafeDumper):
    """Writes plainly only what the loader reads as the same."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


_DIGITS = list("-+.0123456789")
_PLAIN = {  # what a plain word must look like to be no text, and the letters that it may begin with
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": ("true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": ("[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", _DIGITS),
    "float": (r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF))", _DIGITS),
    "merge": ("<<", ["<"]),
}
for _kind, (_pattern, _first) in _PLAIN.items():
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass(frozen=True, slots=True)
class PlacedDocument:
    """One document: what it says, and where."""

    file: Path
    number: int  # within the file, from 1
    data: object
    root: yaml.Node

    def place(self, path: Sequence[Hashable] = ()) -> str:
        """``file:line`` of the deepest part of ``path`` that exists."""
        return f"{self.file}:{_line(self.root, path)}"


def read_documents(file: Path) -> Iterator[PlacedDocument]:
    """The documents of a file, empty ones left out.

    Raises:
        BadInput: no such file, not YAML, or a key stands twice; the message begins with ``file:line``.
    """
    return _documents(file, _text(file))


def parse(text: str, name: str) -> object:
    """The one document of a text that ``name`` tells of in errors. Raises BadInput when it is none, or several."""
    documents = list(_documents(Path(name), text))
    if len(documents) != 1:
        raise BadInput(f"{name}: {len(documents)} documents are there, and one is needed")
    return documents[0].data


def _documents(file: Path, text: str) -> Iterator[PlacedDocument]:
    try:
        for number, root in enumerate(yaml.compose_all(text, Loader=_Loader), start=1):
            _refuse_repeated_keys(file, root)
            # SafeLoader cannot construct from nodes by itself; its constructor half needs no stream.
            data = SafeConstructor().construct_document(root)
            if data is not None:
                yield PlacedDocument(file, number, data, root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise BadInput(f"{file}:{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{file}: not YAML: {error}") from error


def written(document: Mapping[str, object]) -> str:
    """A document as YAML that ``read_documents`` reads as the same."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > LARGEST_FILE_BYTES:
            raise TooLarge(f"{file} is larger than {LARGEST_FILE_BYTES} bytes, and so hardly a list of documents")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {file}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from error


def _refuse_repeated_keys(file: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise BadInput(f"{file}:{key.start_mark.line + 1}: the key {key.value!r} stands here a second time")
                seen.add(key.value)
            _refuse_repeated_keys(file, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(file, item)


def _line(node: yaml.Node, path: Sequence[Hashable]) -> int:
    line: int = node.start_mark.line + 1
    if not path:
        return line
    if isinstance(node, yaml.SequenceNode) and isinstance(path[0], int) and path[0] < len(node.value):
        return _line(node.value[path[0]], path[1:])
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(path[0]):
                return _line(value, path[1:]) if path[1:] else int(key.start_mark.line + 1)
    return line
