"""`tidemill model pull`: a version's files, in a folder or as one tar."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, Conflict
from tidemill.cli.model_reference import Reference, number_of
from tidemill.cli.options import Json
from tidemill.cli.output import print_json, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.model_views import VersionView
    from tidemill.client import Client

app = typer.Typer()

_STDOUT = Path("-")


@app.command("pull")
def pull_model(
    context: typer.Context,
    reference: Reference,
    output: Annotated[Path | None, typer.Option(help="The folder to write into; default NAME-VERSION.")] = None,
    tar: Annotated[
        Path | None, typer.Option(help="A file to write all of it into, with the version's card; - is standard output.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that holds files, or in place of a file.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a version's files: the champion's, unless a version or an alias is named."""
    if tar is not None and output is not None:
        raise BadInput("write either into a folder, with --output, or one file, with --tar")
    if tar == _STDOUT and as_json:
        raise BadInput("standard output takes the tar or what --json tells; name a file with --tar")
    with connect(context) as client:
        version = client.model_version(*number_of(client, reference))
        if tar is not None:
            write_tar(client, version, tar, force=force)
            told = {"tar": str(tar)}
        else:
            told = {"folder": str(_pull_folder(client, version, output, force=force))}
    if as_json:
        print_json({**told, "version": version.model_dump(mode="json")})


def _pull_folder(client: "Client", version: "VersionView", output: Path | None, *, force: bool) -> Path:
    folder = output or Path(f"{version.name}-{version.version}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
        raise Conflict(f"{folder} holds something already; choose another with --output, or use --force")
    for path, ref in version.files.items():
        client.download_file(version.name, version.version, path, ref, folder / path)
        say(f"{folder / path}: {ref.size_bytes} bytes")
    return folder


def write_tar(client: "Client", version: "VersionView", to: Path, *, force: bool = False) -> None:
    """Fetch a version as one tar; a file is whole or not there, and standard output may be cut."""
    if to == _STDOUT:
        client.download_tar(version, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    if to.is_dir() or (to.exists() and not force):
        raise Conflict(f"{to} is there already; choose another with --tar, or use --force")
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}.part")
    try:
        with part.open("wb") as file:
            client.download_tar(version, file)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    say(f"{to}: {to.stat().st_size} bytes")
