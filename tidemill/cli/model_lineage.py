"""The lineage of a version as a tree."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.cli.output import WIDTH_IN_PIPES, pairs, printable

if TYPE_CHECKING:
    from rich.tree import Tree

    from schemas.model_views import LineageView
    from schemas.models import DataSelection, Lineage


def print_lineage(view: "LineageView") -> None:
    """Where a version came from: its run, rows, scripts, and its base model with where that came from."""
    from rich.console import Console  # noqa: PLC0415 - see the package's first line
    from rich.text import Text  # noqa: PLC0415
    from rich.tree import Tree  # noqa: PLC0415

    tree = Tree(Text(_title(view)))
    _grow(tree, view)
    Console(width=None if sys.stdout.isatty() else WIDTH_IN_PIPES).print(tree)


def _title(view: "LineageView") -> str:
    when = f"of {view.created_at:%Y-%m-%d %H:%M:%S}" if view.created_at else "(deleted)"
    return printable(f"{view.model}:{view.version} {when}")


def _grow(tree: "Tree", view: "LineageView") -> None:
    from rich.text import Text  # noqa: PLC0415 - see the package's first line

    if view.created_at is None:
        return
    for head, lines in _branches(view.lineage):
        branch = tree.add(Text(printable(head)))
        for line in lines:
            branch.add(Text(printable(line)))
    if view.base is not None:
        _grow(tree.add(Text(f"base model {_title(view.base)}")), view.base)
    elif view.cut:
        tree.add(Text(printable(f"base model {view.lineage.base_model}: see tidemill model show")))


def _branches(lineage: "Lineage") -> Iterator[tuple[str, list[str]]]:
    if lineage.run_id is None:
        yield "uploaded", []
        return
    attempt = f", attempt {lineage.attempt}" if lineage.attempt else ""
    yield f"run {lineage.run_id}{attempt}", [f"job {lineage.job}", f"edge {lineage.edge}"]
    if lineage.reproduces:
        yield f"reproduces run {lineage.reproduces}", []
    for number, selection in enumerate(lineage.data, start=1):
        yield f"data {number}: {selection.rows} rows", _selection(selection)
    if lineage.holdout is not None:
        yield f"holdout: {lineage.holdout.rows} rows", _selection(lineage.holdout)
    if lineage.scripts:
        yield "scripts", [f"{name} {ref.digest}" for name, ref in lineage.scripts.items()]
    if lineage.requirements is not None:
        yield f"requirements {lineage.requirements.digest}", []
    if lineage.params:
        yield f"parameters {pairs(lineage.params)}", []
    where = f"image {lineage.image}" if lineage.image else f"executor {lineage.executor}"
    yield where, [line for line in (lineage.image_digest, lineage.environment) if line]
    if lineage.base_version is not None:
        yield f"goes on from version {lineage.base_version}", []


def _selection(selection: "DataSelection") -> list[str]:
    lines = [selection.query]
    lines += [f"source {selection.source}"] if selection.source else []
    for collection, window in selection.windows.items():
        new = " (new rows)" if collection in selection.new_in else ""
        lines.append(f"{collection}: positions {window.after + 1} to {window.upto}{new}")
    return lines
