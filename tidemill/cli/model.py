"""`tidemill model`: the registry: versions, aliases and their files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, Conflict, NotFound
from tidemill.cli import model_pipeline
from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, pairs, print_json, print_list, print_one, print_table, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.models import ModelVersion, TensorSpec
    from schemas.views import ModelView

app = typer.Typer(
    help="See models and their versions, move aliases, fetch files, answer messages.", no_args_is_help=True
)
app.add_typer(model_pipeline.app)

Reference = Annotated[str, typer.Argument(metavar="NAME[:VERSION|@ALIAS]")]


def _aliases(model: "ModelView") -> str:
    return pairs({alias.name: alias.version for alias in model.aliases})


def _tensors(tensors: "tuple[TensorSpec, ...]") -> str:
    return ", ".join(f"{one.name} {one.dtype}[{','.join(str(axis or '?') for axis in one.shape)}]" for one in tensors)


_COLUMNS: Columns["ModelView"] = {
    "NAME": lambda model: model.name,
    "VERSIONS": lambda model: len(model.versions),
    "ALIASES": _aliases,
    "NEWEST": lambda model: model.versions and ago(model.versions[0].created_at),
    "METRICS": lambda model: model.versions and pairs(model.versions[0].metrics),
    "DESCRIPTION": lambda model: model.description,
}
_FIELDS: Columns["ModelView"] = {
    "name": lambda model: model.name,
    "description": lambda model: model.description,
    "aliases": _aliases,
    "takes": lambda model: model.versions and _tensors(model.versions[0].signature.inputs),
    "gives": lambda model: model.versions and _tensors(model.versions[0].signature.outputs),
}


@app.command("list")
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """List every model."""
    with connect(context) as client:
        models = client.models()
    print_list(models, _COLUMNS, as_json=as_json, empty="no model yet; write one and: tidemill apply -f FILE")


@app.command("show")
def show_model(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a model and its versions, newest first."""
    with connect(context) as client:
        model = client.model(name)
    print_one(model, _FIELDS, as_json=as_json)
    if model.versions and not as_json:
        heads = ("VERSION", "ALIASES", "CREATED", "ROWS", "METRICS", "RUN")
        print_table(heads, [_version_row(version, model) for version in model.versions])


def _version_row(version: "ModelVersion", model: "ModelView") -> list[object]:
    aliases = ", ".join(alias.name for alias in model.aliases if alias.version == version.version)
    created = ago(version.created_at)
    return [version.version, aliases, created, version.rows, pairs(version.metrics), version.lineage.run_id]


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
        version = _resolve(client.model(_parse(reference)[0]), reference)
        folder = output or Path(f"{version.name}-{version.version}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
            raise Conflict(f"{folder} holds something already; choose another with --output, or use --force")
        for path, ref in version.files.items():
            client.download_file(version.name, version.version, path, ref, folder / path)
            say(f"{folder / path}: {ref.size_bytes} bytes")
    if as_json:
        print_json({"folder": str(folder), "version": version.model_dump(mode="json")})


@app.command("promote")
def promote_version(
    context: typer.Context,
    reference: Reference,
    alias: Annotated[str, typer.Option(help="The alias that shall stand for the version.")] = "champion",
    reason: Annotated[str, typer.Option(help="Kept beside the move.")] = "by hand",
    as_json: Json = False,
) -> None:
    """Let an alias stand for a version; edges that serve the alias change over."""
    with connect(context) as client:
        name, _ = _parse(reference)
        version = _resolve(client.model(name), reference)
        print_one(client.move_alias(name, alias, version.version, reason), _FIELDS, as_json=as_json)


def _parse(reference: str) -> tuple[str, str | int]:
    from schemas.names import model_ref  # noqa: PLC0415 - see the package's first line

    try:
        return model_ref(reference)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _resolve(model: "ModelView", reference: str) -> "ModelVersion":
    _, wanted = _parse(reference)
    numbers = {alias.name: alias.version for alias in model.aliases}
    number = wanted if isinstance(wanted, int) else numbers.get(wanted)
    for version in model.versions:
        if version.version == number:
            return version
    if isinstance(wanted, int):
        raise NotFound(f"{model.name} has no version {wanted}; it has {len(model.versions)}")
    raise NotFound(f"{model.name} has no alias {wanted}; it has {', '.join(numbers) or 'none'}")
