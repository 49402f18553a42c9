"""`tidemill edge`: enrol machines and see how they are."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from schemas.errors import BadInput, Conflict
from tidemill.cli.edge_serving import served_lines
from tidemill.cli.options import Json, Name, pairs_of
from tidemill.cli.output import Columns, ago, amount, pairs, print_json, print_list, print_one, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.views import EdgeView, EnrolledEdge

app = typer.Typer(help="Enrol edges and see how they are.", no_args_is_help=True)


Output = Annotated[Path | None, typer.Option(help="Where to write the agent's configuration; default NAME.toml.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if there is one.")]


def _state(edge: "EdgeView") -> str:
    if edge.revoked_at is not None:
        return "revoked"
    if edge.since is None:
        return "never seen"
    return "online" if edge.online else "offline"


def _served(edge: "EdgeView") -> str:
    return "\n".join(served_lines(edge.report)) if edge.report else ""


def _means(edge: "EdgeView") -> str:
    """What jobs may ask of it."""
    if edge.report is None:
        return ""
    has = edge.report.capabilities
    means = f"{has.cpus} cpus, {amount(has.memory_bytes)} of memory, {has.gpus} gpus"
    return f"{', '.join(has.executors)}; {means}; max_tasks {has.max_tasks}"


def _tasks(edge: "EdgeView") -> str:
    tasks = edge.report.tasks if edge.report else ()
    return "\n".join(f"{task.run_id} attempt {task.attempt}: {task.state} {task.reason}" for task in tasks)


_COLUMNS: Columns["EdgeView"] = {
    "NAME": lambda edge: edge.name,
    "STATE": _state,
    "SINCE": lambda edge: ago(edge.since),
    "TASKS": lambda edge: len(edge.report.tasks) if edge.report else "",
    "PIPELINES": lambda edge: len(edge.report.pipelines) if edge.report else "",
    "LABELS": lambda edge: pairs(edge.labels),
}
_FIELDS: Columns["EdgeView"] = {
    "name": lambda edge: edge.name,
    "state": _state,
    "since": lambda edge: ago(edge.since),
    "labels": lambda edge: pairs(edge.labels),
    "manifest": lambda edge: f"generation {edge.generation}",
    "applied": lambda edge: edge.report and f"generation {edge.report.generation}",
    "refused": lambda edge: edge.report and edge.report.refused,
    "agent": lambda edge: edge.report and edge.report.agent_version,
    "has": _means,
    "free disk": lambda edge: edge.report and amount(edge.report.disk_free_bytes),
    "serves": _served,
    "tasks": _tasks,
}


@app.command("list")
def list_edges(context: typer.Context, as_json: Json = False) -> None:
    """List every enrolled edge."""
    with connect(context) as client:
        edges = client.edges()
    print_list(edges, _COLUMNS, as_json=as_json, empty="no edge yet; add one with: tidemill edge add NAME")


@app.command("show")
def show_edge(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show what is known of one edge."""
    with connect(context) as client:
        print_one(client.edge(name), _FIELDS, as_json=as_json)


@app.command("add")
def add_edge(
    context: typer.Context,
    name: Name,
    label: Annotated[list[str] | None, typer.Option(help="A label as KEY=VALUE; may be given several times.")] = None,
    output: Output = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Enrol an edge and write the configuration that its agent starts with.

    The file holds the edge's credentials, which are told this once: move it to the edge, and keep no copy.
    """
    labels = pairs_of(label or [], "--label")
    with connect(context) as client:
        file = _write_config(lambda: client.add_edge(name, labels), output or Path(f"{name}.toml"), force, as_json)
    say(f"wrote {file}; on the edge, start: tidemill agent --config {file.name}")


@app.command("re-enrol")
def enrol_again(
    context: typer.Context, name: Name, output: Output = None, force: Force = False, as_json: Json = False
) -> None:
    """Give an edge new credentials: the old ones are void at once. One that was revoked is welcome again."""
    with connect(context) as client:
        file = _write_config(lambda: client.re_enrol_edge(name), output or Path(f"{name}.toml"), force, as_json)
    say(f"wrote {file}; put it in place of the configuration on {name}, and start its agent anew")


@app.command("revoke")
def revoke_edge(
    context: typer.Context,
    name: Name,
    reason: Annotated[str, typer.Option(help="Kept in the timeline.")] = "",
    as_json: Json = False,
) -> None:
    """Have nothing to do with an edge any more: it ends everything, and its credentials are void."""
    with connect(context) as client:
        print_one(client.revoke_edge(name, reason), _FIELDS, as_json=as_json)


@app.command("remove")
def remove_edge(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Revoke an edge and forget it; refused while a job or a deployment names it."""
    with connect(context) as client:
        client.remove_edge(name)
    if as_json:
        print_json({"name": name})
    else:
        say(f"edge {name} is removed")


@app.command("label")
def label_edge(
    context: typer.Context,
    name: Name,
    label: Annotated[list[str], typer.Argument(metavar="KEY=VALUE|KEY-", help="To set, or with a - behind to remove.")],
    as_json: Json = False,
) -> None:
    """Change an edge's labels: jobs and deployments that choose edges by them follow."""
    removed = {text[:-1] for text in label if text.endswith("-") and "=" not in text}
    given = pairs_of((text for text in label if text[:-1] not in removed), "label")
    with connect(context) as client:
        kept = {key: value for key, value in client.edge(name).labels.items() if key not in removed}
        print_one(client.label_edge(name, {**kept, **given}), _FIELDS, as_json=as_json)


@app.command("rekey")
def rekey_edge(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Give an edge a new key for secrets, and print the line that goes into its agent's configuration.

    Until it is there and the agent is started anew, the edge cannot do jobs that use secrets.
    """
    with connect(context) as client:
        rekeyed = client.rekey_edge(name)
    if as_json:
        print_json(rekeyed.model_dump(mode="json"))
        return
    say(f"put this line into the agent's configuration on {name}, above [broker], in place of an older one; then start")
    say("the agent anew. It is a private key, and told this once:")
    typer.echo(rekeyed.agent_config, nl=False)


def _write_config(enrol: Callable[[], "EnrolledEdge"], file: Path, force: bool, as_json: bool) -> Path:
    """Enrol, and write what the edge's agent starts with."""
    if file.exists() and not force:
        raise Conflict(f"{file} exists already; write elsewhere with --output, or overwrite it with --force")
    # The file is opened first: credentials are told once, and must not be lost for want of a place to write them.
    with _secret_file(file) as secret:
        enrolled = enrol()
        secret.write(enrolled.agent_config)
    if as_json:
        print_json({"edge": enrolled.edge.model_dump(mode="json"), "agent_config_file": str(file)})
    return file


@contextmanager
def _secret_file(file: Path) -> Iterator[TextIO]:
    """A file for the owner's eyes only; it takes its place, whole, when the block ends well."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as secret:
            yield secret
            secret.flush()
            os.fsync(descriptor)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
