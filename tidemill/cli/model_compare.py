"""Versions of a model compared, one with another or all of them: commands of `tidemill model`."""

from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.model_difference import difference_lines
from tidemill.cli.model_reference import VersionOf, number_of
from tidemill.cli.options import Json, Name
from tidemill.cli.output import ago, print_json, print_table, printable, say
from tidemill.cli.session import connect
from tidemill.cli.sparkline import sparkline

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer()


@app.command("diff")
def show_diff(
    context: typer.Context,
    name: Name,
    old: Annotated[int, typer.Argument(min=1)],
    new: Annotated[int, typer.Argument(min=1)],
    as_json: Json = False,
) -> None:
    """Tell what is different between two versions: metrics, signature, data, scripts, image and so on."""
    with connect(context) as client:
        difference = client.model_difference(name, old=old, new=new)
    if as_json:
        print_json(difference.model_dump(mode="json"))
        return
    lines = list(difference_lines(difference))
    for line in lines:
        typer.echo(printable(line))
    if not lines:
        say(f"versions {old} and {new} of {name} are the same")


@app.command("metrics")
def show_metrics(
    context: typer.Context,
    name: Name,
    metric: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    as_json: Json = False,
) -> None:
    """Show each metric over the versions of a model, newest last."""
    with connect(context) as client:
        view = client.model_metrics(name, metric)
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    if not view.metrics:
        say(f"no version of {name} has {'a metric' if metric is None else f'the metric {metric}'}")
        return
    made = {point.version: point.created_at for points in view.metrics.values() for point in points}
    values = {name: {point.version: point.value for point in points} for name, points in view.metrics.items()}
    rows = [[version, ago(made[version]), *(one.get(version) for one in values.values())] for version in sorted(made)]
    print_table(("VERSION", "CREATED", *values), rows)
    typer.echo("")
    _print_curves({name: list(one.values()) for name, one in values.items()})


@app.command("curves")
def show_curves(context: typer.Context, reference: VersionOf, as_json: Json = False) -> None:
    """Show what a version's scripts told of their progress while it was trained."""
    with connect(context) as client:
        name, version = number_of(client, reference)
        points = client.curves(name, version)
    if as_json:
        print_json(points)
    elif points:
        names = dict.fromkeys(key for point in points for key in point)
        _print_curves({key: [point[key] for point in points if key in point] for key in names})
    else:
        say(f"the scripts that made version {version} of {name} told nothing of their progress")


def _print_curves(curves: "dict[str, Sequence[float]]") -> None:
    rows = [
        [name, sparkline(values), values[0], values[-1], min(values), max(values), len(values)]
        for name, values in curves.items()
    ]
    print_table(("NAME", "", "FIRST", "LAST", "LEAST", "MOST", "POINTS"), rows)
