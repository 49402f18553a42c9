"""Recording messages, and comparing what pipelines make of them: commands of `tidemill pipeline`."""

from pathlib import Path
from typing import Annotated

import typer

from tidemill.cli.extras import load
from tidemill.cli.options import Json, seconds
from tidemill.cli.running import run_plainly

app = typer.Typer()

Broker = Annotated[str, typer.Option(envvar="TIDEMILL_BROKER")]
Absolute = Annotated[float, typer.Option("--tolerance", min=0.0, help="How far two numbers may be apart.")]
Relative = Annotated[
    float, typer.Option("--relative-tolerance", min=0.0, help="Or so, as a part of the larger one, such as 0.01.")
]
Models = Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Where a model's ONNX file is.")]
Libraries = Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Where a library's file is.")]
Effects = Annotated[bool, typer.Option("--allow-effects", help="Let nodes work that are felt outside, such as http.")]


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

    run_plainly(pipeline_record.record(broker, topic, to, pipeline_record.Limits(time_s, count)))


@app.command("replay")
def replay(  # noqa: PLR0913, PLR0917 - a command's options
    file: Path,
    recording: Path,
    model: Models = None,
    library: Libraries = None,
    against: Annotated[Path | None, typer.Option(metavar="FILE", help="The pipeline to compare with.")] = None,
    against_model: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="Compare with this model in place of the first.")
    ] = None,
    against_library: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="Compare with this library in place of the first.")
    ] = None,
    tolerance: Absolute = 0.0,
    relative: Relative = 0.0,
    speed: Annotated[str, typer.Option(help="max, or how many times as fast as it was recorded, such as 1 or 10.")] = (
        "max"
    ),
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the answers into a new file.")] = None,
    allow_effects: Effects = False,
    as_json: Json = False,
) -> None:
    """Run a recording through a pipeline, or through two and compare; exit status 1 if their answers differ."""
    command = load("tidemill.cli.pipeline_replaying", extra="agent")
    first = command.Side(file, {"--model": model or ()}, {"--library": library or ()})
    second = first.changed(against, against_model or (), against_library or ())
    options = command.Options(command.Tolerance(tolerance, relative), speed, out, allow_effects, as_json)
    raise typer.Exit(run_plainly(command.replay_file(first, second, recording, options)))


@app.command("test")
def try_message(  # noqa: PLR0913, PLR0917 - a command's options
    file: Path,
    message: Annotated[str, typer.Option("--input", metavar="FILE", help="The message's payload; - is stdin.")],
    topic: Annotated[str | None, typer.Option(help="What it comes on; needed where the filter has wildcards.")] = None,
    reply: Annotated[
        list[str] | None, typer.Option(metavar="TOPIC=FILE", help="A message for a mqtt_sub in the middle.")
    ] = None,
    model: Models = None,
    library: Libraries = None,
    allow_effects: Effects = False,
    as_json: Json = False,
) -> None:
    """Show what a pipeline makes of one message, node by node, without a broker; exit status 1 if it fails."""
    command = load("tidemill.cli.pipeline_trial", extra="agent")
    side = command.Side(file, {"--model": model or ()}, {"--library": library or ()})
    given = command.Given(message, topic, tuple(reply or ()))
    run_plainly(command.try_message(side, given, allow_effects=allow_effects, as_json=as_json))


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
