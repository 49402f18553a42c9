"""Making, changing and deleting jobs: commands of `tidemill job`."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import BadInput, NotFound, TidemillError
from tidemill.cli.editor import edit
from tidemill.cli.job_form import checked, checked_mapping, json_or_text, set_keys, without_nothing
from tidemill.cli.job_view import FIELDS
from tidemill.cli.options import Json, Name, pairs_of
from tidemill.cli.output import print_one, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.jobs import JobSpec
    from schemas.views import JobView
    from tidemill.client import Client

app = typer.Typer()

Texts = list[str]


def _many(name: str, metavar: str, text: str) -> Any:  # noqa: ANN401 - as typer has it
    return typer.Option(name, metavar=metavar, help=text)


@app.command("create")
def create_job(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="The job as YAML; instead of the options.")] = None,
    model: Annotated[str | None, typer.Option(help="Where the versions go; default: the job's name.")] = None,
    edge: Annotated[str | None, typer.Option(help="The edge that trains.")] = None,
    edge_label: Annotated[Texts, _many("--edge-label", "KEY=VALUE", "Or any edge with these labels.")] = [],  # noqa: B006
    script: Annotated[Texts, _many("--script", "FILE", "A script; several run in this order.")] = [],  # noqa: B006
    requirements: Annotated[str | None, typer.Option(metavar="FILE", help="What to install.")] = None,
    query: Annotated[Texts, _many("--query", "SQL", "Rows for the scripts.")] = [],  # noqa: B006
    new_rows_of: Annotated[Texts, _many("--new-rows-of", "COLLECTION", "Its rows since the last training.")] = [],  # noqa: B006
    metric: Annotated[Texts, _many("--metric", "NAME[:lower]", "A number that the scripts write.")] = [],  # noqa: B006
    param: Annotated[Texts, _many("--param", "KEY=VALUE", "For TIDEMILL_PARAMS; values are JSON or text.")] = [],  # noqa: B006
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="Its period, such as 10m.")] = None,
    cron: Annotated[str | None, typer.Option(help="Or five fields, such as '0 3 * * *'.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of --cron, such as Europe/Paris.")] = None,
    image: Annotated[str | None, typer.Option(help="The container image; default: the edge's.")] = None,
    as_json: Json = False,
) -> None:
    """Make a job, from options or from a file; what has no option here can be set with `job edit`."""
    if file is not None:
        document, folder = _from_file(file), file.parent
    elif name is None:
        raise BadInput("name the job, or a --file that describes it")
    else:
        folder = Path()
        queries: list[dict[str, object]] = [{"query": text} for text in query]
        queries += [{"query": f"SELECT * FROM {one}", "new_data_only": True, "collection": one} for one in new_rows_of]  # noqa: S608
        document = without_nothing(
            {
                "name": name,
                "model": model or name,
                "edge": edge,
                "edge_labels": pairs_of(edge_label, "--edge-label"),
                "scripts": script,
                "requirements": requirements,
                "queries": queries,
                "metrics": [_metric(text) for text in metric],
                "params": {key: json_or_text(text) for key, text in pairs_of(param, "--param").items()},
                "schedule": without_nothing({"every": every, "cron": cron, "timezone": timezone}),
                "image": image,
            }
        )
    with connect(context) as client:
        view = client.put_job(_uploaded(client, checked(document), folder))
    print_one(view, FIELDS, as_json=as_json)


@app.command("edit")
def edit_job(
    context: typer.Context,
    name: Name,
    change: Annotated[Texts, _many("--set", "KEY=VALUE", "Such as schedule.every=10m; values are JSON or text.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Change a job: with --set, or in $EDITOR. Neither fires it. Files are named by their path, as in a fleet file."""
    with connect(context) as client:
        view, tag = client.tagged_job(name)
        before = view.spec.model_dump(mode="json", exclude_defaults=True)
        if change:
            view = _put(client, name, set_keys(before, change), tag)
        else:
            with _in_editor(name, before) as document:
                if document == before:
                    say("nothing was changed")
                else:
                    view = _put(client, name, document, tag)
    print_one(view, FIELDS, as_json=as_json)


def _put(client: "Client", name: str, document: dict[str, Any], tag: str) -> "JobView":
    spec = checked(document)
    if spec.name != name:
        raise BadInput(f"`tidemill job rename {name} {spec.name}` gives it another name")
    return client.put_job(_uploaded(client, spec, Path()), tag=tag)


@app.command("rename")
def rename_job(context: typer.Context, name: Name, to: Annotated[str, typer.Argument()], as_json: Json = False) -> None:
    """Give a job another name; it trains on from where it was."""
    with connect(context) as client:
        print_one(client.rename_job(name, to), FIELDS, as_json=as_json)


@app.command("delete")
def delete_job(
    context: typer.Context,
    name: Name,
    cancel: Annotated[bool, typer.Option("--cancel", help="End its live runs first.")] = False,
) -> None:
    """Delete a job. The model versions that it made stay, with all their files."""
    with connect(context) as client:
        client.delete_job(name, cancel=cancel)
    say(f"job {name} is deleted")


@app.command("pause")
def pause_job(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Let a job's schedule rest; it can still be run by hand."""
    with connect(context) as client:
        print_one(client.pause_job(name), FIELDS, as_json=as_json)


@app.command("resume")
def resume_job(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Let a paused job's schedule go on."""
    with connect(context) as client:
        print_one(client.resume_job(name), FIELDS, as_json=as_json)


def _metric(text: str) -> dict[str, str]:
    name, _, better = text.partition(":")
    return {"name": name, "better": better or "higher"}


def _from_file(file: Path) -> object:
    """The one job of a file, with or without its kind."""
    return {key: value for key, value in _one_document(file).items() if key != "kind"}


def _one_document(file: Path) -> dict[str, Any]:
    from tidemill.yaml_places import read_documents  # noqa: PLC0415 - see the package's first line

    documents = [placed.data for placed in read_documents(file)]
    if len(documents) != 1:
        raise BadInput(f"{file} holds {len(documents)} documents; `tidemill apply -f {file}` takes several")
    return checked_mapping(documents[0])


def _uploaded(client: "Client", spec: "JobSpec", folder: Path) -> "JobSpec":
    from tidemill.fleet_files import with_blobs, with_folders  # noqa: PLC0415 - see the package's first line

    try:
        return with_blobs(with_folders(spec, folder), folder, client.upload)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {error.filename}") from error
    except OSError as error:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error


@contextmanager
def _in_editor(name: str, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The document as the person's editor left it; what goes wrong with it leaves it in a file.

    Raises:
        BadInput: it is no YAML, or the editor failed.
    """
    from tidemill.yaml_places import written  # noqa: PLC0415 - see the package's first line

    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
        file = Path(folder, f"{name}.yaml")
        file.write_text(written(document), encoding="utf-8")
        edit(file, instead="--set")
        try:
            yield _one_document(file)
        except TidemillError:
            kept = Path(f"{name}.edited.yaml")
            shutil.copyfile(file, kept)
            say(f"what you wrote is in {kept}")
            raise
