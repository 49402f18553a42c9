"""What is different between two versions of a model."""

import json
from collections.abc import Mapping
from itertools import zip_longest

from controller.text_difference import file_difference
from schemas.model_views import DataDifference, FieldDifference, FileDifference, MetricDifference, ModelDifference
from schemas.models import DataSelection, ModelVersion, Signature, TensorSpec
from schemas.names import BlobRef
from transport.blob_store import BlobDirectory

_TRAINING = ("job", "edge", "executor", "image", "image_digest", "environment", "base_model", "base_version")


def difference(old: ModelVersion, new: ModelVersion, blobs: BlobDirectory) -> ModelDifference:
    """All that is different. Blocks: it reads scripts and requirements."""
    was, now = old.lineage, new.lineage
    requirements = _files(_one(was.requirements), _one(now.requirements), blobs)
    return ModelDifference(
        name=new.name,
        old=old.version,
        new=new.version,
        metrics=_metrics(old.metrics, new.metrics),
        signature=_fields(_signature(old.signature), _signature(new.signature)),
        data=_data(was.data, now.data),
        scripts=_files(was.scripts, now.scripts, blobs),
        requirements=requirements[0] if requirements else None,
        files=_files(old.files, new.files, None),
        training=_fields(*({key: _text(getattr(one, key)) for key in _TRAINING} for one in (was, now))),
        params=_fields(*({key: _json(value) for key, value in one.params.items()} for one in (was, now))),
    )


def _metrics(old: Mapping[str, float], new: Mapping[str, float]) -> tuple[MetricDifference, ...]:
    return tuple(
        MetricDifference(
            name=name,
            old=old.get(name),
            new=new.get(name),
            change=new[name] - old[name] if name in old and name in new else None,
        )
        for name in sorted(old.keys() | new.keys())
    )


def _fields(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> tuple[FieldDifference, ...]:
    names = dict.fromkeys([*old, *new])
    return tuple(
        FieldDifference(name=name, old=old.get(name), new=new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    )


def _signature(signature: Signature) -> dict[str, str | None]:
    told = {f"input {one.name}": _tensor(one) for one in signature.inputs}
    told |= {f"output {one.name}": _tensor(one) for one in signature.outputs}
    return {**told, "opset": str(signature.opset)}


def _tensor(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} [{', '.join(str('?' if axis is None else axis) for axis in tensor.shape)}]"


def _data(old: tuple[DataSelection, ...], new: tuple[DataSelection, ...]) -> tuple[DataDifference, ...]:
    return tuple(
        DataDifference(query=number, old=was, new=now)
        for number, (was, now) in enumerate(zip_longest(old, new), start=1)
        if was != now
    )


def _files(
    old: Mapping[str, BlobRef], new: Mapping[str, BlobRef], blobs: BlobDirectory | None
) -> tuple[FileDifference, ...]:
    names = dict.fromkeys([*old, *new])
    return tuple(
        file_difference(name, old.get(name), new.get(name), blobs) for name in names if old.get(name) != new.get(name)
    )


def _one(requirements: BlobRef | None) -> dict[str, BlobRef]:
    return {"requirements.txt": requirements} if requirements else {}


def _text(value: object) -> str | None:
    return str(value) if value else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
