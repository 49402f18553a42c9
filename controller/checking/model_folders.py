"""A version's files as a folder, for those who load a model with the weights beside it."""

import shutil
from collections.abc import Mapping
from pathlib import Path


def lay_out(folder: Path, files: Mapping[str, Path]) -> None:
    """Copy files below a folder, by their names in the version. Blocks.

    Copies, for a while: onnx takes a link of either kind, to weights, for an attack.
    """
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
