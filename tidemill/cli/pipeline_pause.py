"""`tidemill pipeline pause` and `resume`: a new version that takes no messages, or takes them again."""

import typer

from tidemill.cli.options import Name
from tidemill.cli.output import say
from tidemill.cli.session import connect

app = typer.Typer()


@app.command("pause")
def pause_pipeline(context: typer.Context, name: Name) -> None:
    """Have a pipeline take no messages; the broker keeps those of QoS 1 for it, as far as it can."""
    _change(context, name, paused=True)


@app.command("resume")
def resume_pipeline(context: typer.Context, name: Name) -> None:
    """Have a paused pipeline go on, with the messages that were kept."""
    _change(context, name, paused=False)


def _change(context: typer.Context, name: str, *, paused: bool) -> None:
    from schemas.fleet import Fleet, PipelineDocument  # noqa: PLC0415 - see the package's first line

    with connect(context) as client:
        spec = client.pipeline(name).spec
        document = {**spec.model_dump(mode="json", exclude_unset=True), "kind": "Pipeline", "paused": paused}
        fleet = Fleet(documents=(PipelineDocument.model_validate(document),))
        (change,) = client.apply(fleet, by=f"tidemill pipeline {'pause' if paused else 'resume'}").changes
    if spec.paused == paused:
        say(f"{name} is {'paused' if paused else 'not paused'} already")
    else:
        say(f"{name} {'is paused' if paused else 'goes on'}: version {change.version}")
