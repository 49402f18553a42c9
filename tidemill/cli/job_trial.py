"""What a script will see, and trying it without an edge: commands of `tidemill job`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, NotFound
from tidemill.cli.extras import load
from tidemill.cli.options import Json, Name, pairs_of
from tidemill.cli.output import pairs, print_json, print_table, printable, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.jobs import JobSpec
    from tidemill.client import Client

app = typer.Typer()

FleetFile = Annotated[
    Path | None, typer.Option("--file", "-f", help="Take the job, and its scripts, from this fleet file as it is now.")
]


@app.command("env")
def show_environment(context: typer.Context, name: Name, file: FleetFile = None, as_json: Json = False) -> None:
    """Print the environment variables that the job's scripts will find."""
    contract = load("tidemill.contract_preview", extra="agent")
    with connect(context) as client:
        found: dict[str, str] = contract.preview(_job(client, name, file))
    if as_json:
        print_json(found)
    else:
        print_table((), [[variable, value] for variable, value in found.items()])


@app.command("test")
def try_job(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    name: Name,
    file: FleetFile = None,
    local: Annotated[bool, typer.Option("--local", help="On this machine, which is how it is always done.")] = True,  # noqa: ARG001
    full: Annotated[bool, typer.Option("--full", help="On all rows, also for queries that ask for new ones.")] = False,
    executor: Annotated[str, typer.Option(help="process or docker.")] = "process",
    image: Annotated[
        str, typer.Option(envvar="TIDEMILL_AGENT_IMAGE", help="With docker, for a job that names none.")
    ] = "python:3.11-slim-bookworm",
    secret: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="To try it with.")] = [],  # noqa: B006
    output: Annotated[Path | None, typer.Option(help="Where what it makes goes; default trial-NAME.")] = None,
    as_json: Json = False,
) -> None:
    """Run a job's scripts here, on the rows that its queries give now; no edge, no run, no version comes of it.

    With --file the scripts are those on this disk: change one, and try it again.
    """
    trial = load("tidemill.trial", extra="agent")
    if executor not in {"process", "docker"}:
        raise BadInput(f"--executor {executor}: choose process or docker")
    folder = output or Path(f"trial-{name}")
    choices = trial.Choices(executor, image, folder, pairs_of(secret, "--secret"))
    with connect(context) as client:
        task = client.try_job(_job(client, name, file), full=full)
        outputs = asyncio.run(trial.run_trial(task, choices, client.download_blob, lambda text: say(printable(text))))
    say(f"{folder / 'model.onnx'}: {outputs.model.size_bytes} bytes; {pairs(outputs.metrics)}")
    if as_json:
        print_json({"folder": str(folder), **outputs.model_dump(mode="json")})


def _job(client: "Client", name: str, file: Path | None) -> "JobSpec":
    """The job as it is applied, or as a fleet file has it."""
    if file is None:
        return client.job(name).spec
    from schemas.fleet import JobDocument  # noqa: PLC0415 - see the package's first line
    from schemas.jobs import JobSpec  # noqa: PLC0415
    from tidemill.fleet_files import read_fleet  # noqa: PLC0415

    for document in read_fleet(file).fleet(client.upload).documents:
        if isinstance(document, JobDocument) and document.name == name:
            return JobSpec.model_validate(document.model_dump(exclude={"kind"}))
    raise NotFound(f"{file} holds no job {name!r}")
