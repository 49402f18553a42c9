"""`tidemill model create-pipeline`: a pipeline that answers messages with a model."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import BadInput, Conflict, NotFound
from tidemill.cli.options import Json
from tidemill.cli.output import print_json, printable, say
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.fleet import DeploymentDocument
    from schemas.pipeline_views import ProposedPipeline
    from schemas.views import Applied
    from tidemill.client import Client

app = typer.Typer()


@app.command("create-pipeline")
def create_pipeline(  # noqa: PLR0913, PLR0917 - a command's options
    context: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="NAME[:VERSION|@ALIAS]")],
    name: Annotated[str | None, typer.Option(help="Of the pipeline; default: NAME_pipeline.")] = None,
    read: Annotated[str | None, typer.Option(help="The topic that it answers; default: NAME/read.")] = None,
    write: Annotated[str | None, typer.Option(help="The topic of its answers; default: NAME/write.")] = None,
    features: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="What the model takes, in its order; default: what is known.")
    ] = None,
    no_features: Annotated[bool, typer.Option("--no-features", help="Messages are nested lists instead.")] = False,
    deploy: Annotated[list[str] | None, typer.Option(metavar="EDGE", help="An edge that shall run it.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make it a new version of a pipeline that is there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the documents.")] = False,
    as_json: Json = False,
) -> None:
    """Make a pipeline that answers messages with a model: NAME/read, the model, NAME/write."""
    from tidemill.exchange import Refused  # noqa: PLC0415 - see the package's first line

    with connect(context) as client:
        try:
            proposed = client.propose_pipeline(
                reference, name=name, read=read, write=write, features=_names(features), lists=no_features
            )
        except Refused as error:
            if "features" not in {wrong.where for wrong in error.errors}:
                raise
            raise BadInput(f"{error}: --features A,B,… or --no-features") from error
        if not replace:
            _refuse_another(client, proposed)
        deployment = _deployment(client, proposed.spec.name, deploy) if deploy else None
        applied = _apply(
            client, proposed, deployment, by=f"tidemill model create-pipeline {reference}", dry_run=dry_run
        )
    if as_json:
        print_json({"proposed": proposed.model_dump(mode="json"), "applied": applied.model_dump(mode="json")})
    else:
        _tell(proposed, deployment, applied)


def _names(features: str | None) -> list[str]:
    names = [name.strip() for name in (features or "").split(",")]
    if features is not None and not all(names):
        raise BadInput(f"--features {features!r}: write names with commas between them, such as width,height")
    return names if features else []


def _refuse_another(client: "Client", proposed: "ProposedPipeline") -> None:
    """Raises Conflict when a pipeline of that name is there, and is another one."""
    name = proposed.spec.name
    try:
        there = client.pipeline(name)
    except NotFound:
        return
    if there.spec != proposed.spec:
        raise Conflict(
            f"there is a pipeline {name} already, and it is another one; choose another --name, "
            f"or make this its version {there.version + 1} with --replace"
        )


def _deployment(client: "Client", pipeline: str, edges: list[str]) -> "DeploymentDocument":
    """The deployment of the pipeline's name, with these edges beside those that it has."""
    from schemas.fleet import DeploymentDocument  # noqa: PLC0415 - see the package's first line

    known = next((found.spec for found in client.deployments() if found.spec.name == pipeline), None)
    if known is not None and known.pipeline != pipeline:
        raise Conflict(
            f"there is a deployment {pipeline} already, of {known.pipeline or known.model}; choose another --name"
        )
    everywhere = dict.fromkeys([*(known.edges if known else ()), *edges])
    labels = known.labels if known else {}
    document = {
        "kind": "Deployment",
        "name": pipeline,
        "pipeline": pipeline,
        "edges": list(everywhere),
        "labels": labels,
    }
    return DeploymentDocument.model_validate(document)


def _apply(
    client: "Client", proposed: "ProposedPipeline", deployment: "DeploymentDocument | None", *, by: str, dry_run: bool
) -> "Applied":
    from schemas.fleet import Fleet, PipelineDocument  # noqa: PLC0415 - see the package's first line
    from tidemill.exchange import Refused  # noqa: PLC0415

    document = {"kind": "Pipeline", **proposed.spec.model_dump(mode="json", exclude_unset=True)}
    pipeline = PipelineDocument.model_validate(document)
    fleet = Fleet(documents=(pipeline, deployment) if deployment else (pipeline,))
    try:
        return client.apply(fleet, dry_run=dry_run, by=by)
    except Refused as error:
        raise BadInput("\n".join(["nothing was made:", *(wrong.message for wrong in error.errors)])) from error


def _tell(proposed: "ProposedPipeline", deployment: "DeploymentDocument | None", applied: "Applied") -> None:
    from tidemill.yaml_places import written  # noqa: PLC0415 - see the package's first line

    spec = proposed.spec
    documents = [{"kind": "Pipeline", **spec.model_dump(mode="json", exclude_defaults=True)}]
    documents += [deployment.model_dump(mode="json", exclude_defaults=True)] if deployment else []
    typer.echo(printable("---\n".join(map(written, documents))), nl=False)
    features = spec.nodes[1].params.get("features")
    say(f"features: {', '.join(features) if isinstance(features, list) else 'none'} ({proposed.why})")
    for change in applied.changes:
        version = f", version {change.version}" if change.version else ""
        say(f"{change.kind} {change.name}: {'would be ' if applied.dry_run else ''}{change.action}{version}")
    if proposed.message is not None:
        topics = [str(node.params["topic"]) for node in (spec.nodes[0], spec.nodes[2])]
        say(f"publish {json.dumps(proposed.message)} on {topics[0]}; the answer comes on {topics[1]}")
