"""`tidemill pipeline`: what answers live messages, and running one by hand."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli import dead_letters, pipeline_pause, pipeline_replay, pipeline_versions
from tidemill.cli.extras import load
from tidemill.cli.options import Json, Name
from tidemill.cli.output import print_list, print_one
from tidemill.cli.pipeline_trace import trace_pipeline
from tidemill.cli.pipeline_view import COLUMNS, FIELDS, VERSION_FIELDS
from tidemill.cli.session import connect

app = typer.Typer(
    help="See pipelines and their versions, and run one without controller or agent.", no_args_is_help=True
)
app.add_typer(pipeline_versions.app)
app.add_typer(pipeline_pause.app)
app.add_typer(pipeline_replay.app)
app.add_typer(dead_letters.app, name="dead-letters")


@app.command("list")
def list_pipelines(context: typer.Context, as_json: Json = False) -> None:
    """List every pipeline and how it does on its edges."""
    with connect(context) as client:
        pipelines = client.pipelines()
    print_list(pipelines, COLUMNS, as_json=as_json, empty="no pipeline yet; write one and: tidemill apply -f FILE")


@app.command("show")
def show_pipeline(
    context: typer.Context, name: Name, version: pipeline_versions.Version = None, as_json: Json = False
) -> None:
    """Show one pipeline: its nodes, and how it does on each edge; with --version, what that version was made of."""
    with connect(context) as client:
        if version is None:
            print_one(client.pipeline(name), FIELDS, as_json=as_json)
        else:
            print_one(client.pipeline_version(name, version), VERSION_FIELDS, as_json=as_json)


app.command("trace")(trace_pipeline)


@app.command("run")
def run_pipeline(
    file: Path,
    broker: Annotated[str, typer.Option(envvar="TIDEMILL_BROKER")] = "mqtt://127.0.0.1:1883",
    model: Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Where a model's ONNX file is.")] = None,
    library: Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Where a library's file is.")] = None,
    session: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Have the broker keep QoS 1 messages under this name while the pipeline does not run; without it they "
            "are lost. One name for each pipeline at a broker: two that run with one throw each other off it.",
        ),
    ] = None,
) -> None:
    """Run a pipeline file in the foreground, with no controller and no agent, until Ctrl-C.

    Exit status 1: the pipeline stopped itself, as its on_error says.
    """
    runner = load("tidemill.cli.pipeline_run", extra="agent")
    asyncio.run(runner.run_pipeline(file, broker, model or [], library or [], session))
