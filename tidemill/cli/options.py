"""Options and arguments that several commands have, so that they read the same everywhere."""

from collections.abc import Iterable
from typing import Annotated

import typer

from schemas.errors import BadInput


def seconds(text: str) -> float:
    """A duration such as ``30s`` or ``10m`` in seconds. Raises BadParameter for anything else."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - see the package's first line

    from schemas.names import Duration  # noqa: PLC0415

    try:
        value: float = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    return value


def pairs_of(texts: Iterable[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` options as a mapping. Raises BadInput for anything else."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadInput(f"{option} {text!r}: write KEY=VALUE")
        found[key] = value
    return found


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
