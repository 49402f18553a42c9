"""`tidemill model create|import|export`: versions from files and folders, and back."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, Conflict
from tidemill.cli.model_reference import Reference, number_of
from tidemill.cli.options import Json, Name, pairs_of
from tidemill.cli.output import amount, pairs, print_json, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.model_views import VersionView
    from tidemill.client import Client

app = typer.Typer()

Metrics = Annotated[list[str] | None, typer.Option("--metric", metavar="NAME=VALUE", help="How good it is.")]
Note = Annotated[str, typer.Option(help="What is to be remembered of it.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="May be given several times.")]
Alias = Annotated[str | None, typer.Option(help="That shall stand for it, such as candidate.")]


@app.command("create")
def create_version(  # noqa: PLR0913, PLR0917 - what can be said of a version
    context: typer.Context,
    name: Name,
    file: Annotated[list[Path] | None, typer.Option(help="The model, and files that belong to it.")] = None,
    folder: Annotated[Path | None, typer.Option(help="All files in it belong to the version.")] = None,
    metric: Metrics = None,
    note: Note = "",
    tag: Tags = None,
    alias: Alias = None,
    as_json: Json = False,
) -> None:
    """Upload a model as a new version: it is checked as a run's is; the first of its kind becomes the champion."""
    from tidemill.version_files import gathered  # noqa: PLC0415 - see the package's first line

    if not file and folder is None:
        raise BadInput("name the model with --file, or its folder with --folder")
    said = {"metrics": _numbers(metric or []), "note": note, "tags": pairs_of(tag or [], "--tag"), "alias": alias}
    with connect(context) as client:
        version = _upload(client, name, gathered(file or [], folder), said)
    _tell(version, as_json=as_json)


@app.command("import")
def import_version(
    context: typer.Context,
    name: Name,
    path: Annotated[Path, typer.Argument(help="A model folder of MLflow's, or one that holds it.")],
    note: Note = "",
    alias: Alias = None,
    as_json: Json = False,
) -> None:
    """Make a version of a model that MLflow saved with its ONNX flavour."""
    from tidemill.mlflow_folders import find_mlflow, read_mlflow  # noqa: PLC0415 - see the package's first line

    found = find_mlflow(path)
    if found is None:
        raise BadInput(f"{path} is no model folder of MLflow's: there is no MLmodel in it")
    files, origin = read_mlflow(found)
    with connect(context) as client:
        version = _upload(client, name, files, {"note": note, "alias": alias, "imported": origin})
    _tell(version, as_json=as_json)


@app.command("export")
def export_version(
    context: typer.Context,
    reference: Reference,
    output: Annotated[Path, typer.Option(help="A folder to write into, or a file that ends in .tar.")],
    mlflow: Annotated[bool, typer.Option("--mlflow", help="As a model folder of MLflow's.")] = False,
    as_json: Json = False,
) -> None:
    """Write a version's files into a folder or a tar archive; with --mlflow as MLflow reads them."""
    from tidemill.mlflow_folders import write_mlflow  # noqa: PLC0415 - see the package's first line
    from tidemill.version_files import write_tar  # noqa: PLC0415

    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise Conflict(f"{output} holds something already; choose another with --output")
    packed = output.suffix == ".tar"
    with connect(context) as client, tempfile.TemporaryDirectory() as scratch:
        version = client.model_version(*number_of(client, reference))
        folder = Path(scratch) if packed else output
        for place, ref in version.files.items():
            client.download_file(version.name, version.version, place, ref, folder / place)
        if mlflow:
            write_mlflow(folder, version, {place: folder / place for place in version.files})
        if packed:
            write_tar(
                output, folder, sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
            )
    if as_json:
        print_json({"output": str(output), "version": version.model_dump(mode="json")})
    else:
        say(f"wrote {version.name}:{version.version} to {output}")


def _upload(client: "Client", name: str, files: "Mapping[str, Path]", said: "Mapping[str, object]") -> "VersionView":
    from schemas.models import NewVersion  # noqa: PLC0415 - see the package's first line

    held = {place: client.upload(path) for place, path in files.items()}
    for place, ref in held.items():
        say(f"{place}: {amount(ref.size_bytes)}")
    try:
        new = NewVersion.model_validate({"files": held, **said})
    except ValueError as error:
        raise BadInput(str(error)) from error
    return client.create_version(name, new, by="tidemill model")


def _numbers(texts: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, text in pairs_of(texts, "--metric").items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise BadInput(f"--metric {name}={text}: {text!r} is no number") from error
    return found


def _tell(version: "VersionView", *, as_json: bool) -> None:
    if as_json:
        print_json(version.model_dump(mode="json"))
        return
    metrics = f"; {pairs(version.metrics)}" if version.metrics else ""
    say(f"{version.name}:{version.version} is there{metrics}")
