"""What is different between two versions of a model, in lines for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.model_views import DataDifference, FieldDifference, FileDifference, MetricDifference, ModelDifference
    from schemas.models import DataSelection


def difference_lines(difference: "ModelDifference") -> Iterator[str]:
    """One line for each thing, under a head for each kind of things; none for what is the same."""
    yield from _under("metrics", [_metric(one) for one in difference.metrics if one.change != 0])
    yield from _under("signature", [_field(one) for one in difference.signature])
    yield from _under("data", [line for one in difference.data for line in _data(one)])
    yield from _under("scripts", [line for one in difference.scripts for line in _file(one)])
    if difference.requirements is not None:
        yield from _under("requirements", list(_file(difference.requirements)))
    yield from _under("files", [line for one in difference.files for line in _file(one)])
    yield from _under("training", [_field(one) for one in difference.training])
    yield from _under("parameters", [_field(one) for one in difference.params])


def _under(head: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{head}:"
        yield from (f"  {line}" for line in lines)


def _metric(one: "MetricDifference") -> str:
    if one.old is None or one.new is None or one.change is None:
        return f"{one.name}: {_number(one.old)} → {_number(one.new)}"
    return f"{one.name}: {one.old:.4g} → {one.new:.4g} ({one.change:+.4g})"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _field(one: "FieldDifference") -> str:
    return f"{one.name}: {one.old or 'none'} → {one.new or 'none'}"


def _data(one: "DataDifference") -> Iterator[str]:
    was, now = _facts(one.old), _facts(one.new)
    for key in dict.fromkeys([*was, *now]):
        if was.get(key) != now.get(key):
            yield f"query {one.query}, {key}: {was.get(key, 'none')} → {now.get(key, 'none')}"


def _facts(selection: "DataSelection | None") -> dict[str, str]:
    if selection is None:
        return {}
    facts = {"rows": str(selection.rows), "query": selection.query, "source": selection.source or "collections"}
    facts |= {
        f"positions of {name}": f"{window.after + 1} to {window.upto}" for name, window in selection.windows.items()
    }
    return {**facts, "format": selection.format, "content": selection.blob.digest}


def _file(one: "FileDifference") -> Iterator[str]:
    if one.old_bytes is None:
        yield f"{one.name}: added, {one.new_bytes} bytes"
    elif one.new_bytes is None:
        yield f"{one.name}: removed"
    else:
        why = f" ({one.why_none})" if one.why_none else ""
        yield f"{one.name}: {one.old_bytes} bytes → {one.new_bytes} bytes{why}"
    if one.old_bytes is not None and one.new_bytes is not None:
        yield from one.diff
