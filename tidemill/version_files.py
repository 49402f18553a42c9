"""The files of a version on this machine: gathered for an upload, and written as an archive."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import BadInput
from schemas.models import MODEL_FILE


def gathered(files: Sequence[Path], folder: Path | None) -> dict[str, Path]:
    """Each file by its place in the version: those of a folder by their paths in it, others by their names.

    The only one that ends in ``.onnx`` is the model, whatever it is called.

    Raises:
        BadInput: one is not there, two have one place, or which one is the model cannot be told.
    """
    found: dict[str, Path] = {}
    pairs = [(path.name, path) for path in files]
    if folder is not None:
        if not folder.is_dir():
            raise BadInput(f"{folder} is no folder")
        pairs += [(str(path.relative_to(folder)), path) for path in files_in(folder)]
    for place, path in pairs:
        if not path.is_file():
            raise BadInput(f"{path} is no file")
        if place in found:
            raise BadInput(f"{found[place]} and {path} have one place in the version: {place}")
        found[place] = path
    return _with_model(found)


def files_in(folder: Path) -> list[Path]:
    """Every file of a folder, whose bytes lie in it. Raises BadInput for a link: it may lead anywhere."""
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    links = [path for path in found if path.is_symlink()]
    if links:
        raise BadInput(f"{links[0]} is a link; put the file itself there")
    return found


def _with_model(found: dict[str, Path]) -> dict[str, Path]:
    if MODEL_FILE in found:
        return found
    models = [place for place in found if place.endswith(".onnx")]
    if len(models) != 1:
        told = f"{', '.join(models)} could each be the model" if models else "none of the files ends in .onnx"
        raise BadInput(f"{told}; call it {MODEL_FILE}")
    return {MODEL_FILE: found.pop(models[0]), **found}


def pack(archive: Path, folder: Path) -> None:
    """Pack all files of a folder; the archive is whole or not there."""
    part = archive.with_name(f".{archive.name}.part")
    try:
        with tarfile.open(part, "w") as tar:
            for path in files_in(folder):
                tar.add(path, arcname=path.relative_to(folder))
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
