"""Whether a model answers its sample as it did when it was registered: the same bytes may not do the same everywhere.

Another processor or another version of ONNX Runtime adds up in another order and picks other kernels, which in float32
comes to some 1e-5 of a value, and 1e-4 in deep networks; models that are broken, or not the ones that were registered,
are off by far more. So numbers may differ by 1e-3 of the value, or by 1e-5 of the largest one in that output: beside
it, what should be nothing is noise. Shorter floats differ by as much as their last bits are worth.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.tensors import Array
from schemas.errors import BadPayload, Unfit

Doubles = NDArray[np.float64]

RELATIVE, OF_SCALE = 1e-3, 1e-5
_SHORTER: Mapping[str, float] = {"tensor(float16)": 4e-3, "tensor(bfloat16)": 3e-2}  # relative; of 8 bits, one in four
_IN, _OUT = "in/", "out/"


def check_parity(model: OnnxModel, sample: Path) -> None:
    """Ask the model what the sample asks, and compare. Blocks.

    Args:
        model: loaded.
        sample: an .npz with ``in/<input>`` and ``out/<output>``.

    Raises:
        Unfit: saying which output is off, and how far; or what the sample has that the model has not.
    """
    asked, recorded = _read(sample)
    dtypes = {spec.name: spec.dtype for spec in model.signature.outputs}
    unknown = sorted({*asked}.difference(spec.name for spec in model.signature.inputs) | {*recorded}.difference(dtypes))
    if unknown:
        raise Unfit(f"its sample names {', '.join(unknown)}, which the model does not have")
    try:
        answers = model.ask(asked, list(recorded))
    except BadPayload as error:
        raise Unfit(f"it does not answer its sample: {error}") from error
    for (name, was), now in zip(recorded.items(), answers, strict=True):
        if difference := _difference(was, np.asarray(now), dtypes[name]):
            raise Unfit(f"output {name!r} is not what was recorded when it was registered: {difference}")


def _read(sample: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    try:
        with np.load(sample, allow_pickle=False) as file:
            arrays = {name: _as_asked(file[name]) for name in file.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise Unfit(f"its sample cannot be read: {error}") from error
    except Exception as error:  # zipfile and zlib have errors of their own
        raise Unfit(f"its sample cannot be read: {type(error).__name__}: {error}") from error
    parts = [
        {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in (_IN, _OUT)
    ]
    return parts[0], parts[1]


def _as_asked(array: Array) -> Array:
    return array.astype(object) if array.dtype.kind in "US" else array


def _difference(was: Array, now: Array, dtype: str) -> str:
    """In words; empty: there is none."""
    if was.shape != now.shape:
        return f"its shape is {list(now.shape)}, and was {list(was.shape)}"
    if was.dtype.kind != "f" or now.dtype.kind != "f":
        return _unequal(was, now)
    return _far_apart(was.astype(np.float64), now.astype(np.float64), _SHORTER.get(dtype, _of_eight_bits(dtype)))


def _of_eight_bits(dtype: str) -> float:
    return 0.25 if "float8" in dtype else RELATIVE


def _far_apart(was: Doubles, now: Doubles, relative: float) -> str:
    finite = np.isfinite(was)
    scale = np.abs(was[finite]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        off = np.abs(now - was)
        allowed = relative * np.abs(was) + OF_SCALE * scale
        same = (now == was) | (np.isnan(now) & np.isnan(was)) | (finite & np.isfinite(now) & (off <= allowed))
    if same.all():
        return ""
    excess = np.where(same, -1.0, np.where(np.isfinite(off), off, np.inf))
    place = np.unravel_index(int(np.argmax(excess)), was.shape)
    return _words(
        same, was[place], now[place], f", where {float(allowed[place]):.3g} is allowed" if finite[place] else ""
    )


def _unequal(was: Array, now: Array) -> str:
    same = np.asarray(was == now, np.bool_)
    if same.all():
        return ""
    place = np.unravel_index(int(np.argmin(same)), was.shape)
    return _words(same, was[place], now[place], "")


def _words(same: NDArray[np.bool_], was: object, now: object, allowed: str) -> str:
    return f"{int((~same).sum())} of {same.size} values differ; one is {now}, and was {was}{allowed}"
