"""`tidemill controller`, `tidemill agent` and `tidemill demo`: the commands that stay until they are told to end."""

from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.extras import load
from tidemill.cli.options import Json

Config = Annotated[Path, typer.Option("--config", help="A TOML file; environment variables win over it.")]


def agent(config: Config) -> None:
    """Run the agent of an edge until SIGTERM or Ctrl-C; training that is under way goes on without it."""
    load("edge_agent.__main__", extra="agent").main(config)


def controller(config: Annotated[Path | None, typer.Option("--config", help="A TOML file.")] = None) -> None:
    """Run the controller until SIGTERM or Ctrl-C."""
    raise typer.Exit(load("controller.__main__", extra="controller").main(config))


def demo(
    once: Annotated[bool, typer.Option("--once", help="End with status 0 as soon as the loop has closed.")] = False,
    executor: Annotated[str | None, typer.Option(help="docker or process; default: docker if there is one.")] = None,
    as_json: Json = False,
) -> None:
    """Run the whole loop on this machine: devices, controller, edge, training and live answers."""
    load("tidemill.cli.demo", extra="demo").demo(once=once, json_output=as_json, executor=executor)
