"""What a pipeline's process finds round it: packages behind Tidemill's own, and somebody who sees that it hangs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.worker.importing import make_importable

HANGS = """
import asyncio
from edge_agent.worker.hang_watch import watch_hangs

def hang_here():
    while b"in hang_here" not in open("said", "rb").read():
        pass

async def main():
    watching = asyncio.create_task(watch_hangs(0.1))
    await asyncio.sleep(0)
    hang_here()
    watching.cancel()

asyncio.run(main())
"""


def test_packages_are_found_behind_tidemills_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library finds what only it requires; a package that Tidemill has too stays Tidemill's."""
    for name in ("tidepool_of_a_library", "orjson"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = list(sys.path)
    make_importable([tmp_path])
    make_importable([tmp_path])
    assert sys.path == [*before, str(tmp_path)]
    assert importlib.util.find_spec("tidepool_of_a_library") is not None
    monkeypatch.delitem(sys.modules, "orjson", raising=False)
    found = importlib.util.find_spec("orjson")
    assert found is not None
    assert found.origin
    assert not Path(found.origin).is_relative_to(tmp_path)


def test_where_a_worker_hangs_is_written_to_its_log(tmp_path: Path) -> None:
    """When the loop does not go round in time, the log says in which function and line it is."""
    with (tmp_path / "said").open("wb") as said:
        subprocess.run([sys.executable, "-c", HANGS], cwd=tmp_path, stderr=said, check=True, timeout=60)
    assert "in hang_here" in (tmp_path / "said").read_text()
