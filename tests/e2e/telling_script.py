"""A job's script that is given a secret, and tells everybody about it as far as it can."""

import base64
import hashlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

value = os.environ["CANARY"]
path = Path(os.environ["canary_path"])
print(f"the value is {value}, and nothing else", flush=True)
print(f"encoded: {base64.b64encode(value.encode()).decode()}", flush=True)
for piece in (value[:5], value[5:], "\n"):
    sys.stdout.write(piece)
    sys.stdout.flush()
try:
    raise RuntimeError(f"cannot log in with {path.read_text()}")
except RuntimeError:
    traceback.print_exc()
print("waiting", flush=True)
while not Path(os.environ["HOME"], "go").exists():
    time.sleep(0.02)
told = {
    "variable": hashlib.sha256(value.encode()).hexdigest(),
    "file": hashlib.sha256(path.read_bytes()).hexdigest(),
    "place": os.environ["PLACE"],
}
Path(os.environ["additional_output_folder_path"], "told.json").write_text(json.dumps(told))
