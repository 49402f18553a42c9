"""YAML documents together with the line on which each part of them stands."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from yaml.constructor import SafeConstructor

from schemas.errors import BadInput, NotFound, TooLarge

LARGEST_FILE_BYTES = 4 * 1024 * 1024


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
    text = _text(file)
    try:
        for number, root in enumerate(yaml.compose_all(text, Loader=yaml.SafeLoader), start=1):
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
