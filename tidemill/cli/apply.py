"""`tidemill apply`: make what a fleet file says so."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput
from tidemill.cli.options import Json
from tidemill.cli.output import print_json, print_table, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.fleet import AppliedChange


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML documents, each with its kind.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: Json = False,
) -> None:
    """Create or change collections, models, jobs, libraries, pipelines and deployments as a file says.

    Applying the same file again changes nothing. Files it names are found beside it and uploaded.
    """
    from tidemill.exchange import Refused  # noqa: PLC0415 - see the package's first line
    from tidemill.fleet_files import read_fleet  # noqa: PLC0415

    written = read_fleet(file)
    with connect(context) as client:
        try:
            # A dry run uploads too: the controller looks into the files, and bytes that nothing names do no harm.
            applied = client.apply(written.fleet(client.upload), dry_run=dry_run, by=f"tidemill apply -f {file.name}")
        except Refused as error:
            lines = [written.told(wrong.where, wrong.message) for wrong in error.errors]
            raise BadInput("\n".join(["nothing was applied:", *lines])) from error
    if as_json:
        print_json(applied.model_dump(mode="json"))
        return
    print_table(("KIND", "NAME", "ACTION", "VERSION", "CHANGED"), [_row(change) for change in applied.changes])
    for change in applied.changes:
        if change.told:
            say(f"{change.kind} {change.name}: {change.told}")
    different = sum(change.action != "unchanged" for change in applied.changes)
    say(f"{different} of {len(applied.changes)} {'would change' if dry_run else 'changed'}")


def _row(change: "AppliedChange") -> list[object]:
    return [change.kind, change.name, change.action, change.version, ", ".join(change.changed)]
