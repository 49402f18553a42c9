"""`tidemill pipeline`: what answers live messages, and running one by hand."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli import dead_letters, pipeline_replay
from tidemill.cli.extras import load
from tidemill.cli.options import Json, Name
from tidemill.cli.output import Columns, ago, print_list, print_one
from tidemill.cli.pipeline_trace import trace_pipeline
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import PipelineView

app = typer.Typer(help="See pipelines, and run one without controller or agent.", no_args_is_help=True)
app.add_typer(pipeline_replay.app)
app.add_typer(dead_letters.app, name="dead-letters")


def _edges(pipeline: "PipelineView") -> str:
    return "\n".join(
        f"{edge}: {status.state} version {status.version}, {status.answered} of {status.received} answered, "
        f"{status.failed} failed {status.reason}".rstrip()
        for edge, status in pipeline.edges.items()
    )


_COLUMNS: Columns["PipelineView"] = {
    "NAME": lambda pipeline: pipeline.spec.name,
    "VERSION": lambda pipeline: pipeline.version,
    "CREATED": lambda pipeline: ago(pipeline.created_at),
    "EDGES": _edges,
}
_FIELDS: Columns["PipelineView"] = {
    "name": lambda pipeline: pipeline.spec.name,
    "version": lambda pipeline: pipeline.version,
    "created": lambda pipeline: ago(pipeline.created_at),
    "nodes": lambda pipeline: "\n".join(
        f"{node.id}: {node.type}" + (f" of {', '.join(node.inputs)}" if node.inputs else "")
        for node in pipeline.spec.nodes
    ),
    "dead letters": lambda pipeline: pipeline.spec.dead_letters,
    "edges": _edges,
}


@app.command("list")
def list_pipelines(context: typer.Context, as_json: Json = False) -> None:
    """List every pipeline and how it does on its edges."""
    with connect(context) as client:
        pipelines = client.pipelines()
    print_list(pipelines, _COLUMNS, as_json=as_json, empty="no pipeline yet; write one and: tidemill apply -f FILE")


@app.command("show")
def show_pipeline(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one pipeline: its nodes, and how it does on each edge."""
    with connect(context) as client:
        print_one(client.pipeline(name), _FIELDS, as_json=as_json)


app.command("trace")(trace_pipeline)


@app.command("run")
def run_pipeline(
    file: Path,
    broker: Annotated[str, typer.Option(envvar="TIDEMILL_BROKER")] = "mqtt://127.0.0.1:1883",
    model: Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Where a model's ONNX file is.")] = None,
    library: Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Where a library's file is.")] = None,
) -> None:
    """Run a pipeline file in the foreground, with no controller and no agent, until Ctrl-C."""
    runner = load("tidemill.cli.pipeline_run", extra="agent")
    raise typer.Exit(asyncio.run(runner.run_pipeline(file, broker, model or [], library or [])))
