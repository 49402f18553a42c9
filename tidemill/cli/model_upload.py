"""`tidemill model create|import|export`: versions from files and folders, and back."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, Conflict
from tidemill.cli.model_pull import write_tar
from tidemill.cli.model_reference import Reference, names_version, number_of
from tidemill.cli.options import Json, Name, pairs_of
from tidemill.cli.output import amount, pairs, print_json, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.model_views import BroughtView
    from tidemill.client import Client

app = typer.Typer()

_BY = "tidemill model"

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
    """Upload a model as a new version: checked as a run's is, and judged by the gate of its model if that has one.

    Without a gate, the first of its kind becomes the champion.
    """
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
    path: Annotated[
        Path, typer.Argument(help="An archive of another controller's, or a model folder or registry tree of MLflow's.")
    ],
    alias: Alias = None,
    trust: Annotated[
        str | None, typer.Option(metavar="ed25519:…", help="The public key of the controller that signed the archive.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take in the versions of an archive that another controller wrote, or what MLflow saved as ONNX.

    Of MLflow's file registry, such as mlruns, all versions of the model are taken in, with metrics, tags and aliases.
    """
    if path.is_file():
        _import_archive(context, name, path, trust, as_json=as_json)
        return
    from tidemill.mlflow_folders import find_mlflow, read_mlflow  # noqa: PLC0415 - see the package's first line
    from tidemill.mlflow_registry import find_registered  # noqa: PLC0415

    if (registered := find_registered(path, name)) is not None:
        _import_registered(context, name, registered, alias, as_json=as_json)
        return
    found = find_mlflow(path)
    if found is None:
        raise BadInput(f"{path} is no model folder of MLflow's: there is no MLmodel in it")
    model = read_mlflow(found)
    with connect(context) as client:
        said = {"alias": alias, "imported": model.origin, "metrics": model.metrics}
        version = _upload(client, name, model.files, said)
    _tell(version, as_json=as_json)


@app.command("export")
def export_version(
    context: typer.Context,
    reference: Reference,
    output: Annotated[
        Path,
        typer.Option(help="A folder, a file ending in .tar, or one ending in .tidemill: for another controller."),
    ],
    mlflow: Annotated[bool, typer.Option("--mlflow", help="As a model folder of MLflow's.")] = False,
    as_json: Json = False,
) -> None:
    """Write a version's files into a folder or a tar archive, with --mlflow as MLflow reads them.

    For another controller all versions of iris, or one such as iris:3, are written with everything that is said of
    them, signed by this controller.
    """
    from tidemill.mlflow_folders import write_mlflow  # noqa: PLC0415 - see the package's first line
    from tidemill.version_files import pack  # noqa: PLC0415

    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise Conflict(f"{output} holds something already; choose another with --output")
    if output.suffix == ".tidemill":
        _export_archive(context, reference, output, as_json=as_json)
        return
    packed = output.suffix == ".tar"
    with connect(context) as client, tempfile.TemporaryDirectory() as scratch:
        version = client.model_version(*number_of(client, reference))
        if packed and not mlflow:
            write_tar(client, version, output)
        else:
            folder = Path(scratch) if packed else output
            for place, ref in version.files.items():
                client.download_file(version.name, version.version, place, ref, folder / place)
            if mlflow:
                write_mlflow(folder, version, {place: folder / place for place in version.files})
            if packed:
                pack(output, folder)
    if as_json:
        print_json({"output": str(output), "version": version.model_dump(mode="json")})
    else:
        say(f"wrote {version.name}:{version.version} to {output}")


def _export_archive(context: typer.Context, reference: str, output: Path, *, as_json: bool) -> None:
    from tidemill.model_archives import export_model  # noqa: PLC0415 - see the package's first line

    with connect(context) as client:
        name, version = number_of(client, reference) if names_version(reference) else (reference, None)
        archive = export_model(client, name, version, output)
    numbers = [one.card.version for one in archive.versions]
    if as_json:
        print_json({"output": str(output), "versions": numbers})
    else:
        say(f"wrote versions {', '.join(map(str, numbers))} of {name} to {output}")


def _import_archive(context: typer.Context, name: str, path: Path, trust: str | None, *, as_json: bool) -> None:
    from tidemill.model_archives import import_model  # noqa: PLC0415 - see the package's first line

    with connect(context) as client:
        made = import_model(client, path, name=name, trust=trust)
    if as_json:
        print_json([one.model_dump(mode="json") for one in made])
    else:
        say(
            "\n".join(f"{one.name}:{one.version}, from {one.lineage.imported}" for one in made)
            or "all is there already"
        )


def _import_registered(context: typer.Context, name: str, folder: Path, alias: str | None, *, as_json: bool) -> None:
    """All versions of a registered model; ``alias`` shall stand for the newest."""
    from tidemill.mlflow_registry import read_registered  # noqa: PLC0415 - see the package's first line

    held, left_out = read_registered(folder)
    for reason in left_out:
        say(reason)
    if not held:
        raise BadInput(f"{folder} has no version that can be taken in")
    made: list[BroughtView] = []
    with connect(context) as client:
        wanted = {stands for one in held for stands in one.aliases} | ({alias} if alias else set())
        free = {stands for stands in wanted if client.alias(name, stands) is None or stands == alias}
        for one in held:
            said = {"metrics": one.metrics, "note": one.note, "tags": one.tags, "imported": one.origin}
            version = _upload(client, name, one.files, said)
            made.append(version)
            if version.told:
                say(version.told)
            newest = {alias} if one is held[-1] else set()
            gates = {"champion"} if version.told else set()  # which the model's gate alone moves
            for stands in sorted(free.intersection({*one.aliases} | newest) - gates):
                before, reason = client.alias(name, stands), f"as it was in {one.origin}"
                client.move_alias(name, stands, version.version, reason, _BY, before, new=before is None)
    if as_json:
        print_json([one.model_dump(mode="json") for one in made])
    else:
        say("\n".join(f"{one.name}:{one.version}, from {one.lineage.imported}" for one in made))


def _upload(client: "Client", name: str, files: "Mapping[str, Path]", said: "Mapping[str, object]") -> "BroughtView":
    from schemas.models import NewVersion  # noqa: PLC0415 - see the package's first line

    held = {place: client.upload(path) for place, path in files.items()}
    for place, ref in held.items():
        say(f"{place}: {amount(ref.size_bytes)}")
    try:
        new = NewVersion.model_validate({"files": held, **said})
    except ValueError as error:
        raise BadInput(str(error)) from error
    return client.create_version(name, new, by=_BY)


def _numbers(texts: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, text in pairs_of(texts, "--metric").items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise BadInput(f"--metric {name}={text}: {text!r} is no number") from error
    return found


def _tell(version: "BroughtView", *, as_json: bool) -> None:
    if as_json:
        print_json(version.model_dump(mode="json"))
        return
    metrics = f"; {pairs(version.metrics)}" if version.metrics else ""
    say(f"{version.name}:{version.version} is there{metrics}")
    if version.told:
        say(version.told)
