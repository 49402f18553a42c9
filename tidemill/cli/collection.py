"""`tidemill collection`: the tables that jobs learn from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, BadPayload, NotFound
from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, pairs, print_json, print_list, print_one, print_table, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import CollectionView, Reject

app = typer.Typer(help="See collections and their rows, and import rows from files.", no_args_is_help=True)

CONTENT_TYPES = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
}
_COLUMNS: Columns["CollectionView"] = {
    "NAME": lambda collection: collection.spec.name,
    "ROWS": lambda collection: collection.rows,
    "REJECTS": lambda collection: collection.rejects,
    "TOPICS": lambda collection: ", ".join(collection.spec.topics),
}
_FIELDS: Columns["CollectionView"] = {
    "name": lambda collection: collection.spec.name,
    "rows": lambda collection: collection.rows,
    "last position": lambda collection: collection.last_position,
    "rejects": lambda collection: collection.rejects,
    "topics": lambda collection: "\n".join(collection.spec.topics),
    "columns": lambda collection: pairs(collection.spec.columns),
    "required": lambda collection: ", ".join(collection.spec.required),
}
_REJECT_COLUMNS: Columns["Reject"] = {
    "AT": lambda reject: ago(reject.at),
    "SOURCE": lambda reject: reject.source,
    "REASON": lambda reject: reject.reason,
    "PAYLOAD": lambda reject: reject.payload,
}


@app.command("list")
def list_collections(context: typer.Context, as_json: Json = False) -> None:
    """List every collection."""
    with connect(context) as client:
        collections = client.collections()
    print_list(collections, _COLUMNS, as_json=as_json, empty="no collection yet; write one and: tidemill apply -f FILE")


@app.command("show")
def show_collection(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one collection: its columns, its topics, and how full it is."""
    with connect(context) as client:
        print_one(client.collection(name), _FIELDS, as_json=as_json)


@app.command("rows")
def show_rows(
    context: typer.Context,
    name: Name,
    after: Annotated[int, typer.Option(min=0, help="Only rows whose position is beyond this.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: Json = False,
) -> None:
    """Print rows, oldest first."""
    with connect(context) as client:
        rows = client.rows(name, after=after, limit=limit)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(tuple(rows[0]), [list(row.values()) for row in rows])
    else:
        say(f"no row of {name} beyond position {after}")


@app.command("rejects")
def show_rejects(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Print what came in and did not fit, with the reason."""
    with connect(context) as client:
        rejects = client.rejects(name)
    print_list(rejects, _REJECT_COLUMNS, as_json=as_json, empty=f"{name} has refused nothing")


@app.command("import")
def import_file(context: typer.Context, name: Name, file: Path, as_json: Json = False) -> None:
    """Add the rows of a .json, .ndjson or .csv file; exit status 1 if some did not fit."""
    content_type = CONTENT_TYPES.get(file.suffix.lower())
    if content_type is None:
        raise BadInput(f"{file}: how rows are written is told by the ending, one of {', '.join(CONTENT_TYPES)}")
    if not file.is_file():
        raise NotFound(f"there is no file {file}")
    with connect(context) as client, file.open("rb") as content:
        result = client.import_rows(name, content, content_type)
    if as_json:
        print_json(json.loads(result.model_dump_json()))
    say(f"{result.accepted} rows added to {name}, {result.rejected} refused")
    for reason in result.reasons:
        say(f"  {reason}")
    if result.rejected:
        raise BadPayload(f"{result.rejected} rows of {file} did not fit; the others were added")
