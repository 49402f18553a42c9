"""The page that lists every key of a job says what is so."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from schemas.fleet import JobDocument
from schemas.jobs import JobSpec
from schemas.written import Written
from tidemill.yaml_places import read_documents

PAGE = Path(__file__).parents[2] / "docs" / "jobs.md"
ROWS = re.findall(r"^\| `([^|]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \| `([^|]+)` \|$", PAGE.read_text(), re.MULTILINE)
LEAST = {"name": "retrain", "model": "press", "edge": "press-1", "scripts": ["train.py"]}


def fields(model: type[Written], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of a document, at any depth, as the page writes it."""
    for name, field in model.model_fields.items():
        yield before + name, field
        for inner, in_list in documents(field.annotation):
            yield from fields(inner, f"{before}{name}{'[]' if in_list else ''}.")


def documents(annotation: Any, *, in_list: bool = False) -> Iterator[tuple[type[Written], bool]]:
    """The documents that a key may hold, and whether in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Written):
        yield annotation, in_list
    for part in get_args(annotation):
        yield from documents(part, in_list=in_list or str(annotation).startswith("tuple"))


def has_default(field: FieldInfo, text: str, tmp_path: Path) -> bool:
    """Whether a key's default is what the page says, in words or as a value."""
    if text.startswith("`"):
        annotated: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        value = TypeAdapter(annotated).validate_python(said(text.strip("`"), tmp_path))
        return not field.is_required() and bool(field.default == value)
    if field.is_required() or isinstance(field.default, Written):
        return text == ("needed" if field.is_required() else "see below")
    return text == "none" and field.default in (None, (), {})


def said(text: str, tmp_path: Path) -> Any:
    """What a piece of YAML says."""
    file = tmp_path / "piece.yaml"
    file.write_text(text)
    (placed,) = read_documents(file)
    return placed.data


def test_every_key_stands_on_the_page_once() -> None:
    """Each key of a job, and of what is in it, has its row, and no row is about a key that is no more."""
    assert sorted(key for key, _, _ in ROWS) == sorted(key for key, _ in fields(JobSpec))


def test_defaults_are_as_the_page_says(tmp_path: Path) -> None:
    """The default of each row is that of the key."""
    there = list(fields(JobSpec))
    for key, default, _ in ROWS:
        assert any(has_default(field, default, tmp_path) for name, field in there if name == key), key


@pytest.mark.parametrize(("key", "example"), [(key, example) for key, _, example in ROWS])
def test_each_example_is_a_job(key: str, example: str, tmp_path: Path) -> None:
    """Put into the smallest job, each row's example is one, and it holds the key that it is about."""
    changes = said(example, tmp_path)
    base = {name: value for name, value in LEAST.items() if name != "edge" or "edge_labels" not in changes}
    JobSpec.model_validate(base | changes)
    inside = changes
    for part in re.findall(r"\w+|\[\]", key):
        inside = inside[0] if part == "[]" else inside[part] if isinstance(inside, dict) else inside
    assert inside is not None


def test_whole_examples_are_jobs(tmp_path: Path) -> None:
    """What the page shows as whole documents can be applied."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [JobDocument.model_validate(said(block, tmp_path)).name for block in blocks] == ["retrain", "nightly"]
