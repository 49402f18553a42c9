"""A process of its own that loads a model nobody trusts yet: ``python -m controller.model_check FILE``.

Prints ``{"signature": …}`` or ``{"error": "…"}``; the only home of onnx. A model that crashes the runtime, or
that asks for all memory, takes this process down and nothing else.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

import onnx

from pipeline_runtime.onnx_model import OnnxModel
from schemas.errors import TidemillError

_MAX_BYTES = 2 * 1024**3  # protobuf's own limit


def check(path: Path) -> dict[str, object]:
    """Check the graph, then load it once as serving will."""
    if path.stat().st_size == 0:
        return {"error": "model.onnx is empty"}
    if path.stat().st_size > _MAX_BYTES:
        return {"error": f"model.onnx has more than {_MAX_BYTES} bytes"}
    try:
        proto = onnx.load(str(path), load_external_data=False)
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer):
            return {"error": "model.onnx keeps weights in other files; save it as one file"}
        onnx.checker.check_model(proto)
    except Exception as error:  # noqa: BLE001 - the parser and the checker raise whatever protobuf and C++ raise
        return {"error": f"model.onnx is no valid ONNX model: {_first_line(error)}"}
    try:
        signature = OnnxModel(path).signature
    except TidemillError as error:
        return {"error": f"model.onnx does not load: {_first_line(error)}"}
    opset = next((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    return {"signature": signature.model_copy(update={"opset": opset}).model_dump(mode="json")}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__


def _be_the_first_to_go() -> None:
    """When memory runs short, the kernel ends this process, and not the controller or its broker."""
    with suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    _be_the_first_to_go()
    json.dump(check(Path(sys.argv[1])), sys.stdout)
