"""The training script of the end-to-end tests: stdlib only, and as good or bad as its parameters ask.

It writes a copy of ``tiny.onnx`` whose factor is the number of rows it has ever seen, and keeps their ids.
"""

import hashlib
import json
import os
import struct
import sys
import time
from pathlib import Path

params = json.loads(os.environ["TIDEMILL_PARAMS"])
kept = Path(os.environ["additional_output_folder_path"])
rows = json.loads(Path(os.environ["collection_data_1_path"]).read_text())
seen_file = kept / "seen.json"
seen = json.loads(seen_file.read_text()) if seen_file.exists() else []
ids = [row["id"] for row in rows]
if "base_model_path" in os.environ:
    print("base", hashlib.sha256(Path(os.environ["base_model_path"]).read_bytes()).hexdigest(), flush=True)
print(f"{len(ids)} rows, {len(seen)} seen before", flush=True)

with Path(os.environ["progress_path"]).open("a") as progress:
    progress.write(json.dumps({"step": 1, "rows": len(ids)}) + "\n")

if "started" in params:
    Path(params["started"]).touch()
while "until" in params and not Path(params["until"]).exists():
    time.sleep(0.02)
for second in range(params.get("seconds", 0)):
    print(f"second {second}", flush=True)
    time.sleep(1)

if "needs" in params and not Path(params["needs"]).exists():
    sys.exit(4)
fault = params.get("fault")
if fault == "script":
    print("about to fail", flush=True)
    sys.exit(3)
if fault == "symlink":
    (kept / "passwords").symlink_to("/etc/passwd")
if "megabytes" in params:
    (kept / "weights.bin").write_bytes(os.urandom(1024 * 1024) * params["megabytes"])
seen_file.write_text(json.dumps(seen + ids))
if fault != "metric":
    Path(os.environ["accuracy_path"]).write_text(str(params.get("accuracy", 0.5)))
if fault != "model":
    model = (kept / "tiny.onnx").read_bytes()
    mark = struct.pack("<f", 12345.0)
    # The factor stands in the model's bytes; an invalid one is what a careless export may leave.
    model = b"no model at all" if fault == "onnx" else model.replace(mark, struct.pack("<f", len(seen + ids)))
    Path(os.environ["model_file_path"]).write_bytes(model)
print("done", flush=True)
