"""`tidemill model gate|approve|reject`: what a gate found of a version, and what a person decides in its place."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.model_reference import Reference, number_of
from tidemill.cli.options import Json
from tidemill.cli.output import Columns, print_json, print_one, print_table, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.gates import Decision, GateCheck, GateResult

app = typer.Typer()

Reason = Annotated[str, typer.Option(prompt=True, help="Kept with the decision, and with the alias's move.")]

_FIELDS: Columns["GateResult"] = {
    "decision": lambda result: result.decision,
    "by": lambda result: result.by or "the gate",
    "at": lambda result: f"{result.at:%Y-%m-%d %H:%M:%S} UTC",
    "because": lambda result: result.reason,
    "compared with": lambda result: result.champion and f"version {result.champion}",
    "on trial": lambda result: result.trial and f"{result.trial.asked} of {result.trial.asks.messages} messages",
    "holdout": lambda result: f"{result.rows} rows" if result.rows else None,
}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _row(check: "GateCheck") -> list[object]:
    passed = {True: "yes", False: "no", None: "not known"}[check.passed]
    interval = "" if check.low is None else f"[{_number(check.low)}, {_number(check.high)}]"
    numbers = (_number(value) for value in (check.value, check.rival, check.limit))
    return [check.name, passed, *numbers, interval, check.detail]


@app.command("gate")
def show_gate(context: typer.Context, reference: Reference, as_json: Json = False) -> None:
    """Show what was decided about a version, and every number that it was decided by."""
    with connect(context) as client:
        found = client.gate(*number_of(client, reference))
    if as_json:
        print_json([result.model_dump(mode="json") for result in found])
    elif not found:
        say("no gate has judged it: its model had none when it was uploaded, or it is older than gates")
    else:
        print_one(found[0], _FIELDS, as_json=False)
        heads = ("CHECK", "PASSED", "VALUE", "CHAMPION", "LIMIT", "GAIN", "DETAIL")
        print_table(heads, [_row(check) for check in found[0].checks])


@app.command("approve")
def approve(context: typer.Context, reference: Reference, reason: Reason, as_json: Json = False) -> None:
    """Use a version whatever its gate found: it becomes the champion."""
    _decide(context, reference, "promote", reason, as_json=as_json)


@app.command("reject")
def reject(context: typer.Context, reference: Reference, reason: Reason, as_json: Json = False) -> None:
    """Say that a version is not to be used."""
    _decide(context, reference, "reject", reason, as_json=as_json)


def _decide(context: typer.Context, reference: str, decision: "Decision", reason: str, *, as_json: bool) -> None:
    with connect(context) as client:
        print_one(client.override_gate(*number_of(client, reference), decision, reason), _FIELDS, as_json=as_json)
