"""A pipeline's versions, taking it away, and what it may be made of: commands of `tidemill pipeline`."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import NotFound
from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, print_json, print_list, print_table, printable, say
from tidemill.cli.pipeline_view import change_lines, summary
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.pipeline_views import NodeTypeView, PipelineVersionView

app = typer.Typer()

Version = Annotated[int | None, typer.Option("--version", min=1, help="The version; default: the newest.")]


@app.command("history")
def show_history(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """List a pipeline's versions, newest first: when and by what each was made, and what it changed."""
    with connect(context) as client:
        versions = client.pipeline_versions(name)
    before = {version.version: older for version, older in pairwise(versions)}
    columns: Columns[PipelineVersionView] = {
        "VERSION": lambda version: version.version,
        "CREATED": lambda version: ago(version.created_at),
        "BY": lambda version: version.made_by,
        "RUNS ON": lambda version: ", ".join(version.edges),
        "CHANGED": lambda version: (
            summary(before[version.version].spec, version.spec) if version.version in before else ""
        ),
    }
    print_list(versions, columns, as_json=as_json, empty="no version")


@app.command("diff")
def show_diff(
    context: typer.Context,
    name: Name,
    old: Annotated[int, typer.Argument(min=1)],
    new: Annotated[int, typer.Argument(min=1)],
    as_json: Json = False,
) -> None:
    """Tell what is different between two versions of a pipeline, node by node and parameter by parameter."""
    with connect(context) as client:
        difference = client.pipeline_changes(name, old=old, new=new)
    if as_json:
        print_json(difference.model_dump(mode="json"))
        return
    lines = list(change_lines(difference.changes))
    for line in lines:
        typer.echo(printable(line))
    if not lines:
        say(f"versions {old} and {new} of {name} are the same")


@app.command("export")
def export_pipeline(
    context: typer.Context,
    name: Name,
    version: Version = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
    as_json: Json = False,
) -> None:
    """Print a pipeline as the document that `tidemill apply` takes."""
    from tidemill.yaml_places import written  # noqa: PLC0415 - see the package's first line

    with connect(context) as client:
        found = client.pipeline(name) if version is None else client.pipeline_version(name, version)
    document = {"kind": "Pipeline", **found.spec.model_dump(mode="json", exclude_defaults=True)}
    if output is not None:
        output.write_text(written(document), encoding="utf-8")
        say(f"{output}: version {found.version} of {name}")
    elif as_json:
        print_json(document)
    else:
        typer.echo(written(document), nl=False)


@app.command("delete")
def delete_pipeline(
    context: typer.Context,
    name: Name,
    undeploy: Annotated[bool, typer.Option("--undeploy", help="Delete the deployments that run it, too.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a pipeline in all its versions, and its dead letters. The models and libraries that it uses stay."""
    with connect(context) as client:
        deleted = client.delete_pipeline(name, undeploy=undeploy)
    if as_json:
        print_json(deleted.model_dump(mode="json"))
        return
    lost = [_number(deleted.versions, "version")]
    lost += [_number(deleted.dead_letters, "dead letter")] if deleted.dead_letters else []
    say(f"pipeline {name} is deleted with {' and '.join(lost)}")
    if deleted.deployments:
        say(f"with it the deployments {', '.join(deleted.deployments)}")
    if deleted.edges:
        say(f"these edges end it, after the messages that they have in hand: {', '.join(deleted.edges)}")


@app.command("node-types")
def list_node_types(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[TYPE]")] = None,
    as_json: Json = False,
) -> None:
    """List the node types that the controller knows, those of installed packages included, or the parameters of one."""
    with connect(context) as client:
        types = client.node_types()
    if name is None:
        columns: Columns[NodeTypeView] = {"TYPE": lambda found: found.name, "WHAT IT DOES": lambda found: found.doc}
        print_list(types, columns, as_json=as_json, empty="no node type")
        return
    for found in types:
        if found.name == name:
            print_json(found.model_dump(mode="json")) if as_json else _tell(found)
            return
    raise NotFound(f"there is no node type {name!r}; there are {', '.join(found.name for found in types)}")


def _tell(node_type: "NodeTypeView") -> None:
    from tidemill.schema_words import keys_of  # noqa: PLC0415 - see the package's first line

    typer.echo(printable(f"{node_type.doc}\n\n{node_type.example.strip()}\n"))
    keys = keys_of(node_type.json_schema, node_type.json_schema.get("$defs", {}))  # type: ignore[arg-type]
    print_table(
        ("KEY", "TYPE", "DEFAULT", "WHAT IT IS"),
        [_row(key.path, key.kind, key.default, key.description) for key in keys],
    )


def _row(*cells: str) -> list[object]:
    return [cell.replace("`", "") for cell in cells]


def _number(count: int, what: str) -> str:
    return f"its {what}" if count == 1 else f"its {count} {what}s"
