"""Starts the runner from its folder: ``python -I input/runner FOLDER``."""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)
runpy.run_module(f"{Path(__file__).resolve().parent.name}.main", run_name="__main__")
