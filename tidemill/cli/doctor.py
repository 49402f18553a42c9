"""`tidemill doctor`: what is wrong between here, the controller and the broker."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import TidemillError
from tidemill.cli.options import Json
from tidemill.cli.output import print_json, print_table
from tidemill.cli.session import ControllerChoice, connect


def doctor(
    context: typer.Context,
    broker: Annotated[
        str | None, typer.Option(envvar="TIDEMILL_BROKER", help="Default: that of --config, or the controller's.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="An agent's or controller's TOML file, for its broker.")] = None,
    folder: Annotated[Path, typer.Option(help="Where data is kept, for the disk's free space.")] = Path(),
    as_json: Json = False,
) -> None:
    """Check the controller, the token, the clocks, the broker, Docker and the disk; exit status 1 if one is wrong."""
    from tidemill.cli import doctor_checks, doctor_controller  # noqa: PLC0415 - see the package's first line

    choice = context.find_object(ControllerChoice)
    with connect(context) as client:
        checks = [*doctor_controller.check_controller(choice.url if choice else "", client)]
        address = doctor_checks.named_broker(broker, config) or doctor_controller.known_broker(client)
    checks += doctor_checks.check_broker(address) if address else []
    checks += [doctor_checks.check_docker(), doctor_checks.check_disk(folder)]
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        print_table((), [[check.verdict, check.name, check.detail] for check in checks])
    wrong = [check.name for check in checks if check.verdict == "wrong"]
    if wrong:
        raise TidemillError(f"wrong: {', '.join(wrong)}")
