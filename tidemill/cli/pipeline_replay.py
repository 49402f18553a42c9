"""Recording messages, and comparing what pipelines make of them: commands of `tidemill pipeline`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.options import Json, seconds

app = typer.Typer()

Broker = Annotated[str, typer.Option(envvar="TIDEMILL_BROKER")]
Absolute = Annotated[float, typer.Option("--tolerance", min=0.0, help="How far two numbers may be apart.")]
Relative = Annotated[
    float, typer.Option("--relative-tolerance", min=0.0, help="Or so, as a part of the larger one, such as 0.01.")
]


@app.command("record")
def record(
    topic: Annotated[list[str], typer.Option(metavar="FILTER", help="What to record; + and # as in MQTT.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="A new file.")],
    broker: Broker = "mqtt://127.0.0.1:1883",
    time_s: Annotated[
        float | None, typer.Option("--for", parser=seconds, metavar="DURATION", help="End after this, such as 10m.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many messages.")] = None,
) -> None:
    """Record messages with their times into a file, one a line, until Ctrl-C."""
    from tidemill.cli import pipeline_record  # noqa: PLC0415 - see the package's first line

    limits = pipeline_record.Limits(time_s, count)
    raise typer.Exit(asyncio.run(pipeline_record.record(broker, topic, to, limits)))


@app.command("diff-answers")
def diff_answers(
    before: Path, after: Path, tolerance: Absolute = 0.0, relative: Relative = 0.0, as_json: Json = False
) -> None:
    """Compare two files that `replay --out` wrote of one recording; exit status 1 if they differ."""
    from tidemill.cli.comparison_view import print_comparison  # noqa: PLC0415 - as above
    from tidemill.replay.answers import read_outcomes  # noqa: PLC0415
    from tidemill.replay.comparing import compare  # noqa: PLC0415
    from tidemill.replay.value_differences import Tolerance  # noqa: PLC0415

    found = compare(read_outcomes(before), read_outcomes(after), Tolerance(tolerance, relative))
    print_comparison(found, as_json=as_json)
    raise typer.Exit(1 if found.different else 0)
