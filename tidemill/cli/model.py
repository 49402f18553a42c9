"""`tidemill model`: the registry: versions, aliases and their files."""

from typing import TYPE_CHECKING

import typer

from tidemill.cli import (
    model_alias,
    model_change,
    model_compare,
    model_gate,
    model_pipeline,
    model_pull,
    model_show,
    model_upload,
)
from tidemill.cli.options import Json
from tidemill.cli.output import Columns, ago, pairs, print_list
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.model_views import ModelView

app = typer.Typer(
    help="See and compare models and their versions, move aliases, fetch files, answer messages.", no_args_is_help=True
)
for part in (
    model_show,
    model_compare,
    model_gate,
    model_alias,
    model_change,
    model_pull,
    model_upload,
    model_pipeline,
):
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
