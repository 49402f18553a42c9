"""Options and arguments that several commands have, so that they read the same everywhere."""

from typing import Annotated

import typer


def seconds(text: str) -> float:
    """A duration such as ``30s`` or ``10m`` in seconds. Raises BadParameter for anything else."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - see the package's first line

    from schemas.names import Duration  # noqa: PLC0415

    try:
        value: float = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    return value


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
Patience = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=seconds,
        metavar="DURATION",
        help="Wait no longer than this, such as 30s or 10m; the exit status is then 5.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME")]
