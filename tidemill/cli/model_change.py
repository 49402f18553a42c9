"""What people write of models and their versions, and deleting them: commands of `tidemill model`."""

import sys
from typing import Annotated

import typer

from schemas.errors import BadInput
from tidemill.cli.model_reference import Reference, names_version, number_of, parse
from tidemill.cli.options import Json
from tidemill.cli.output import pairs, print_json, say
from tidemill.cli.session import connect

app = typer.Typer()


@app.command("annotate")
def annotate(
    context: typer.Context,
    reference: Reference,
    note: Annotated[str | None, typer.Option(help="Of the version, in place of the one that it has.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE|KEY-", help="Of the version; KEY- removes it.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="Of the model.")] = None,
    as_json: Json = False,
) -> None:
    """Write a note of a version (iris:3) and set its tags, or describe a model (iris)."""
    written = note is not None or bool(tag)
    if written == (description is not None):
        raise BadInput("give either --description, or --note and --tag")
    if written != names_version(reference):
        raise BadInput("--note and --tag are of a version, such as iris:3; --description is of a model, such as iris")
    with connect(context) as client:
        if description is not None:
            model = client.describe_model(reference, description)
            print_json(model.model_dump(mode="json")) if as_json else say(f"{reference}: {description}")
            return
        name, version = number_of(client, reference)
        told = client.annotate(name, version, note=note, tags=_tags(tag or []))
    if as_json:
        print_json(told.model_dump(mode="json"))
    else:
        said = [text for text in (told.note, pairs(told.tags)) if text]
        say(f"{name}:{version}: {'; '.join(said) or 'no note and no tag'}")


@app.command("delete")
def delete_model(
    context: typer.Context,
    reference: Reference,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a version (iris:3), or a model with all of them (iris), unless something needs it."""
    by = "tidemill model delete"
    name, which = parse(reference)
    if names_version(reference) and not isinstance(which, int):
        raise BadInput(f"{reference}: say the number of the version, such as {name}:3; an alias may move meanwhile")
    _ask(f"Delete {reference} with its files?" if names_version(reference) else f"Delete {name}?", yes=yes)
    with connect(context) as client:
        if isinstance(which, int):
            client.delete_version(name, which, by=by)
            told, said = {"name": name, "version": which}, f"version {which} of {name} is deleted"
        else:
            deleted = client.delete_model(name, by=by)
            told, said = (
                deleted.model_dump(mode="json"),
                f"model {name} is deleted with its {deleted.versions} versions",
            )
    print_json(told) if as_json else say(said)


def _ask(question: str, *, yes: bool) -> None:
    """Only a person at a terminal is asked: a script that does not say --yes means what it says."""
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)


def _tags(texts: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if equals and key:
            found[key] = value
        elif text.endswith("-") and len(text) > 1:
            found[text[:-1]] = None
        else:
            raise BadInput(f"--tag {text!r}: write KEY=VALUE, or KEY- to remove it")
    return found
