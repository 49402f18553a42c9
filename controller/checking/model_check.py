"""A process of its own that loads models nobody trusts yet: ``python -m controller.checking.model_check``.

Reads of one model after the other, as JSON, its path and where to write its sample, and answers each with a line:
``{"signature": …, "sample": true}`` or ``{"error": "…"}``; with what it asks, the only home of onnx. A model that
crashes the runtime, or that asks for all memory, takes this process down and nothing else.
"""

import json
import os
import resource
import select
import sys
from contextlib import suppress
from pathlib import Path

import onnx

from controller.checking.model_graphs import tensors_in
from controller.checking.model_opsets import unknown_part
from pipeline_runtime.models.onnx_model import OnnxModel
from pipeline_runtime.models.samples import make_sample
from schemas.errors import TidemillError
from schemas.models import MODEL_FILE

_MAX_BYTES = 2 * 1024**3  # protobuf's own limit
_IN_MEMORY = "_ORT_MEM_ADDR_"
_IDLE_S = 5.0  # then it ends: it holds as much memory as half a controller
_SPENT_BYTES = 512 * 1024**2  # what a large model leaves behind goes with the process


def check(path: Path, sample: Path) -> dict[str, object]:
    """Check the graph, then load it once as serving will, and have it answer something."""
    if path.stat().st_size == 0:
        return {"error": "model.onnx is empty"}
    if path.stat().st_size > _MAX_BYTES:
        return {"error": f"model.onnx has more than {_MAX_BYTES} bytes; keep its weights in files beside it"}
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # noqa: BLE001 - the parser raises whatever protobuf raises
        return {"error": f"model.onnx is no valid ONNX model: {_first_line(error)}"}
    beside = path.parent if path.name == MODEL_FILE else None  # a blob lies among those of other versions
    if fault := outside_fault(proto, beside):
        return {"error": fault}
    try:
        onnx.checker.check_model(str(path))  # by its path: with its weights it may be larger than protobuf can hold
    except Exception as error:  # noqa: BLE001 - the checker raises whatever protobuf and C++ raise
        return {"error": unknown_part(proto) or f"model.onnx is no valid ONNX model: {_first_line(error)}"}
    try:
        model = OnnxModel(path)
    except TidemillError as error:
        return {"error": unknown_part(proto) or f"model.onnx does not load: {_first_line(error)}"}
    try:
        sampled = make_sample(model, sample)
    except TidemillError as error:
        return {"error": f"model.onnx does not run: {_first_line(error)}"}
    opset = next((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    signature = model.signature.model_copy(update={"opset": opset})
    return {"signature": signature.model_dump(mode="json"), "sample": sampled}


def outside_fault(proto: onnx.ModelProto, folder: Path | None) -> str:
    """What is wrong with the files that a model keeps weights in; empty if nothing is, or there are none.

    ``folder`` is where the files of its version lie; None: it has no other file.
    """
    for tensor in tensors_in(proto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        for location in [entry.value for entry in tensor.external_data if entry.key == "location"] or [""]:
            if not _is_plain(location):
                return f"model.onnx keeps weights in {location!r}, which is no file beside it"
            if folder is None or not (folder / location).is_file():
                return f"model.onnx keeps weights in {location}, which is not among its files; upload it with the model"
    return ""


def _is_plain(location: str) -> bool:
    """Whether it names a file, and not a place in memory, which ONNX Runtime writes as a path."""
    odd = {"", ".", ".."}.intersection(location.split("/"))
    return not odd and "\\" not in location and "\x00" not in location and _IN_MEMORY not in location


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__


def _be_the_first_to_go() -> None:
    """When memory runs short, the kernel ends this process, and not the controller or its broker."""
    with suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text("1000")


def _spent() -> bool:
    # Not ru_maxrss: a child takes that over from the process that forked it.
    resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return resident_pages * resource.getpagesize() > _SPENT_BYTES


def serve() -> None:
    """Answer until nobody asks."""
    os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "1"  # else the runtime only warns of an opset that it does not know
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
        while select.select([0], [], [], _IDLE_S)[0] and (line := sys.stdin.buffer.readline()):
            path, sample = json.loads(line)
            answers.write(json.dumps(check(Path(path), Path(sample))) + "\n")
            answers.flush()
            if _spent():
                return


if __name__ == "__main__":
    _be_the_first_to_go()
    serve()
