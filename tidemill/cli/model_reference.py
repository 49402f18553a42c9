"""How commands of `tidemill model` are told which version is meant."""

from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, NotFound

if TYPE_CHECKING:
    from tidemill.client import Client

Reference = Annotated[str, typer.Argument(metavar="NAME[:VERSION|@ALIAS]")]
VersionOf = Annotated[str, typer.Argument(metavar="NAME:VERSION|NAME@ALIAS")]
Alias = Annotated[str, typer.Option(help="The alias.")]


def parse(reference: str) -> tuple[str, str | int]:
    """The model, and the alias or the version of it. Raises BadInput."""
    from schemas.names import model_ref  # noqa: PLC0415 - see the package's first line

    try:
        return model_ref(reference)
    except ValueError as error:
        raise BadInput(str(error)) from error


def names_version(reference: str) -> bool:
    """Whether a version is meant, and not the model."""
    return ":" in reference or "@" in reference


def number_of(client: "Client", reference: str) -> tuple[str, int]:
    """The model and the number of the version that is meant. Raises NotFound for an alias that is not there."""
    name, which = parse(reference)
    if isinstance(which, int):
        return name, which
    alias = client.alias(name, which)
    if alias is None:
        known = [one.name for one in client.model(name).aliases]
        raise NotFound(f"{name} has no alias {which}; it has {', '.join(known) or 'none'}")
    return name, alias.version
