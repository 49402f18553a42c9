"""`tidemill schema`: JSON Schema of every document, for editors and other programs."""

import difflib
from typing import Annotated

import typer

from schemas.errors import NotFound
from tidemill.cli.options import Json
from tidemill.cli.output import print_json


def schema(name: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """Print a document's JSON Schema, or list the documents there are; nodes are those of the types installed here."""
    from pipeline_runtime.catalog import with_node_types  # noqa: PLC0415
    from pipeline_runtime.installed import node_types  # noqa: PLC0415
    from schemas.export import DOCUMENTS, json_schema  # noqa: PLC0415 - see the package's first line

    if name is None:
        names = sorted(DOCUMENTS)
        print_json(names) if as_json else typer.echo("\n".join(names))
    elif name in DOCUMENTS:
        print_json(with_node_types(json_schema(name), node_types()))
    else:
        near = difflib.get_close_matches(name, DOCUMENTS, n=1)
        raise NotFound(f"there is no document {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
