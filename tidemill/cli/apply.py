"""`tidemill apply`: make what a fleet file says so."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from tidemill.client import blob_ref  # noqa: PLC0415 - see the package's first line
    from tidemill.fleet_files import read_fleet  # noqa: PLC0415

    with connect(context) as client:
        fleet = read_fleet(file, blob_ref if dry_run else client.upload)
        applied = client.apply(fleet, dry_run=dry_run)
    if as_json:
        print_json(applied.model_dump(mode="json"))
        return
    print_table(("KIND", "NAME", "ACTION", "VERSION", "CHANGED"), [_row(change) for change in applied.changes])
    different = sum(change.action != "unchanged" for change in applied.changes)
    say(f"{different} of {len(applied.changes)} {'would change' if dry_run else 'changed'}")


def _row(change: "AppliedChange") -> list[object]:
    return [change.kind, change.name, change.action, change.version, ", ".join(change.changed)]
