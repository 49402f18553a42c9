"""`tidemill model`: the registry: versions, aliases and their files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import Conflict
from tidemill.cli import model_alias, model_change, model_compare, model_gate, model_pipeline, model_show, model_upload
from tidemill.cli.model_reference import Reference, number_of
from tidemill.cli.options import Json
from tidemill.cli.output import Columns, ago, pairs, print_json, print_list, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.model_views import ModelView

app = typer.Typer(
    help="See and compare models and their versions, move aliases, fetch files, answer messages.", no_args_is_help=True
)
for part in (model_show, model_compare, model_gate, model_alias, model_change, model_upload, model_pipeline):
    app.add_typer(part.app)


def _aliases(model: "ModelView") -> str:
    return pairs({alias.name: alias.version for alias in model.aliases})


_COLUMNS: Columns["ModelView"] = {
    "NAME": lambda model: model.name,
    "VERSIONS": lambda model: len(model.versions),
    "ALIASES": _aliases,
    "NEWEST": lambda model: model.versions and ago(model.versions[0].created_at),
    "METRICS": lambda model: model.versions and pairs(model.versions[0].metrics),
    "DESCRIPTION": lambda model: model.description,
}


@app.command("list")
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """List every model."""
    with connect(context) as client:
        models = client.models()
    print_list(models, _COLUMNS, as_json=as_json, empty="no model yet; write one and: tidemill apply -f FILE")


@app.command("pull")
def pull_model(
    context: typer.Context,
    reference: Reference,
    output: Annotated[Path | None, typer.Option(help="The folder to write into; default NAME-VERSION.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds files.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch a version's files: the champion's, unless a version or an alias is named."""
    with connect(context) as client:
        version = client.model_version(*number_of(client, reference))
        folder = output or Path(f"{version.name}-{version.version}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
            raise Conflict(f"{folder} holds something already; choose another with --output, or use --force")
        for path, ref in version.files.items():
            client.download_file(version.name, version.version, path, ref, folder / path)
            say(f"{folder / path}: {ref.size_bytes} bytes")
    if as_json:
        print_json({"folder": str(folder), "version": version.model_dump(mode="json")})
