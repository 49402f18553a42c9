"""MLflow's model registry as its file store keeps it, read without MLflow.

<root>/models/<model>/version-<n>/meta.yaml, tags/<key>    <root>/models/<model>/aliases/<alias>: a version's number
<root>/<experiment>/<run>/artifacts/…, metrics/<key>       <root>/<experiment>/models/<id>/artifacts/… (since MLflow 3)

As ``mlflow.store.model_registry.file_store`` and ``mlflow.store.tracking.file_store`` write it.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from schemas.errors import BadInput, NotFound
from tidemill.mlflow_folders import find_mlflow, read_mlflow, usable_metrics

_VERSION = re.compile(r"version-(\d+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # of a tag or an alias here
_TAG_CHARACTERS = 500
_DESCRIBED = "meta.yaml"
_DELETED = "Deleted_Internal"


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version as MLflow has it."""

    files: dict[str, Path]  # as they stand in a version here
    origin: str  # where it is from
    note: str
    metrics: dict[str, float]  # those that can be metrics here
    tags: dict[str, str]  # those that can be tags here
    aliases: tuple[str, ...]


def find_registered(path: Path, name: str) -> Path | None:
    """The folder of a registered model: the path itself, or the one in a registry's tree; None if it is neither.

    Raises:
        BadInput: the tree has several models, and none of them has this name.
    """
    path = path.resolve()
    if _numbered(path):
        return path
    held = sorted(folder for folder in (path / "models").glob("*") if _numbered(folder))
    named = [folder for folder in held if folder.name == name] or held
    if len(named) > 1:
        raise BadInput(f"{path} has the models {', '.join(folder.name for folder in held)}; name one: {held[0]}")
    return named[0] if named else None


def read_registered(folder: Path) -> tuple[list[RegisteredVersion], list[str]]:
    """The versions of a registered model, the oldest first, and why others are left out."""
    held: list[RegisteredVersion] = []
    left_out: list[str] = []
    aliases = {name: of.strip() for name, of in _texts(folder / "aliases").items() if _NAME.fullmatch(name)}
    for number, place in sorted(_numbered(folder).items()):
        mine = tuple(sorted(alias for alias, of in aliases.items() if of == str(number)))
        try:
            held.append(_read(folder, number, place, mine))
        except (BadInput, NotFound, OSError, ValueError, yaml.YAMLError) as error:
            left_out.append(f"version {number} of {folder.name} is left out: {error}")
    return held, left_out


def _read(folder: Path, number: int, place: Path, aliases: tuple[str, ...]) -> RegisteredVersion:
    said: Any = yaml.safe_load((place / _DESCRIBED).read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        raise BadInput(f"{place / _DESCRIBED} tells nothing")
    if said.get("current_stage") == _DELETED:
        raise NotFound("it was deleted")
    root, run = folder.parent.parent, str(said.get("run_id") or "")
    model = read_mlflow(_artifacts(root, said, run))
    return RegisteredVersion(
        files=model.files,
        origin=f"MLflow registry: {folder.name} version {number}, run {run or 'unknown'}",
        note=str(said.get("description") or ""),
        metrics=_metrics(root, run) or model.metrics,
        tags={
            key: text
            for key, text in _texts(place / "tags").items()
            if _NAME.fullmatch(key) and len(text) <= _TAG_CHARACTERS
        },
        aliases=aliases,
    )


def _artifacts(root: Path, said: dict[str, Any], run: str) -> Path:
    """Where the version's MLmodel lies. The tree may have been moved since: what its source says below it counts."""
    source = unquote(urlsplit(str(said.get("storage_location") or said.get("source") or "")).path)
    below = source.partition(f"/{run}/artifacts/")[2]
    logged = re.search(
        r"\bm-[0-9a-f]{16,}", f"{said.get('source')} {said.get('storage_location')} {said.get('model_id')}"
    )
    places = [*root.glob(f"*/models/{logged[0]}/artifacts")] if logged else []
    places += [place / below for place in root.glob(f"*/{run}/artifacts")] if run.isalnum() else []
    found = (find_mlflow(place) for place in places if place.resolve().is_relative_to(root.resolve()))
    model = next((one for one in found if one is not None), None)
    if model is None:
        raise NotFound(f"its model is not in {root}: {said.get('source')}")
    return model


def _metrics(root: Path, run: str) -> dict[str, float]:
    """The run's metrics at their last steps, as MLflow shows them."""
    last: dict[str, float] = {}
    for folder in root.glob(f"*/{run}/metrics") if run.isalnum() else ():
        for name, text in _texts(folder).items():
            with suppress(ValueError):  # what cannot be read is no metric; the version comes without it
                last[name] = max(map(_point, filter(None, text.splitlines())))[-1]
    return usable_metrics(last)


def _point(line: str) -> tuple[int, int, float]:
    """Step, time and value of a line with time, value, step and perhaps more; they do not stand in this order."""
    words = line.split()
    if len(words) < len(("time", "value", "step")):
        raise ValueError(f"{line!r} is no metric of MLflow's")
    return int(words[2]), int(words[0]), float(words[1])


def _texts(folder: Path) -> dict[str, str]:
    """What stands in each file of a folder; a link may lead anywhere, and is none."""
    files = (path for path in sorted(folder.glob("*")) if path.is_file() and not path.is_symlink())
    return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in files}


def _numbered(folder: Path) -> dict[int, Path]:
    """The folders of its versions, by number."""
    held = (path for path in folder.glob("version-*") if (path / _DESCRIBED).is_file())
    found = ((_VERSION.fullmatch(path.name), path) for path in held)
    return {int(match[1]): path for match, path in found if match}
