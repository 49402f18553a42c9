"""A model with its versions, and a version with where it came from: `tidemill model show`."""

from typing import TYPE_CHECKING

import typer

from tidemill.cli.model_lineage import print_lineage
from tidemill.cli.model_reference import Reference, names_version, number_of
from tidemill.cli.options import Json
from tidemill.cli.output import Columns, ago, amount, pairs, print_json, print_one, print_table
from tidemill.cli.session import connect

if TYPE_CHECKING:
    from schemas.gates import Gate
    from schemas.model_views import ModelView, VersionView
    from schemas.models import TensorSpec
    from tidemill.client import Client

app = typer.Typer()


def _tensors(tensors: "tuple[TensorSpec, ...]") -> str:
    return ", ".join(f"{one.name} {one.dtype}[{','.join(str(axis or '?') for axis in one.shape)}]" for one in tensors)


def _deployed(version: "VersionView") -> str:
    return ", ".join(f"{place.edge} ({place.pipeline})" if place.pipeline else place.edge for place in version.deployed)


def _gate(version: "VersionView") -> str:
    gate = version.gate
    return f"{gate.decision} at {gate.at:%Y-%m-%d %H:%M:%S}{f' by {gate.by}' if gate.by else ''}" if gate else ""


def _asks(gate: "Gate") -> str:
    """What a model's gate asks for, in a line."""
    nested = {"rescore": gate.rescore, "budgets": gate.budgets, "trial": gate.trial}
    said = gate.model_dump(mode="json", exclude_defaults=True, exclude={"policy", "thresholds", *nested})
    limits = [one.model_dump(mode="json", exclude_none=True) for one in gate.thresholds]
    parts = [gate.policy, pairs(said), *(pairs(limit) for limit in limits)]
    parts += [
        f"{key} {pairs(one.model_dump(mode='json', exclude_defaults=True))}".rstrip()
        for key, one in nested.items()
        if one
    ]
    return "; ".join(part for part in parts if part)


_MODEL: Columns["ModelView"] = {
    "name": lambda model: model.name,
    "description": lambda model: model.description,
    "gate": lambda model: model.gate and _asks(model.gate),
    "aliases": lambda model: pairs({alias.name: alias.version for alias in model.aliases}),
    "takes": lambda model: model.versions and _tensors(model.versions[0].signature.inputs),
    "gives": lambda model: model.versions and _tensors(model.versions[0].signature.outputs),
}
_VERSION: Columns["VersionView"] = {
    "model": lambda version: version.name,
    "version": lambda version: f"{version.version}{' (base model)' if version.base else ''}",
    "aliases": lambda version: ", ".join(version.aliases),
    "created": lambda version: f"{version.created_at:%Y-%m-%d %H:%M:%S}",
    "deployed": _deployed,
    "metrics": lambda version: pairs(version.metrics),
    "gate": _gate,
    "note": lambda version: version.note,
    "tags": lambda version: pairs(version.tags),
    "takes": lambda version: _tensors(version.signature.inputs),
    "gives": lambda version: _tensors(version.signature.outputs),
    "files": lambda version: ", ".join(f"{path} {amount(ref.size_bytes)}" for path, ref in version.files.items()),
    "additional": lambda version: ", ".join(version.additional),
}


@app.command("show")
def show_model(context: typer.Context, reference: Reference, as_json: Json = False) -> None:
    """Show a model and its versions, newest first; or one version, and the tree of where it came from."""
    with connect(context) as client:
        if names_version(reference):
            _show_version(client, *number_of(client, reference), as_json=as_json)
            return
        model = client.model(reference)
    print_one(model, _MODEL, as_json=as_json)
    if model.versions and not as_json:
        metrics = list(dict.fromkeys(name for version in model.versions for name in version.metrics))
        heads = ("VERSION", "ALIASES", "CREATED", "ROWS", *metrics, "GATE", "DEPLOYED", "NOTE", "RUN")
        print_table(heads, [_row(version, metrics) for version in model.versions])


def _show_version(client: "Client", name: str, number: int, *, as_json: bool) -> None:
    version, lineage = client.model_version(name, number), client.lineage(name, number)
    if as_json:
        print_json({"version": version.model_dump(mode="json"), "lineage": lineage.model_dump(mode="json")})
        return
    print_one(version, _VERSION, as_json=False)
    print_lineage(lineage)


def _row(version: "VersionView", metrics: list[str]) -> list[object]:
    label = f"{version.version} Base model" if version.base else str(version.version)
    measured = [version.metrics.get(name) for name in metrics]
    gate = version.gate.decision if version.gate else ""
    known = [label, ", ".join(version.aliases), ago(version.created_at), version.rows]
    return [*known, *measured, gate, _deployed(version), version.note.partition("\n")[0], version.lineage.run_id]
