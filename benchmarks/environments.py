"""How long a new environment takes with uv and with pip: the requirements of examples/iris, bytecode compiled.

New means that no task has had these requirements here before. uv is measured twice: with nothing downloaded so far, and
with what another environment on this edge has downloaded. pip keeps its downloads, but not for containers.
Run: ``python -m benchmarks.environments [--executor docker] [--rounds 3] [--json result.json]``
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, arguments, tell
from benchmarks.stage import EXECUTORS
from edge_agent.execution.install_settings import InstallSettings
from edge_agent.execution.uv_program import empty_cache
from tests.integration.workbench import Workbench, make_executor

REQUIREMENTS = (Path(__file__).parent.parent / "examples/iris/requirements.txt").read_text(encoding="utf-8")
SCRIPT = {"train.py": "import skl2onnx, sklearn"}


async def cold(executor: str, data: Path, number: int, *, uv: bool) -> float:
    """Seconds to have a new environment; a comment makes the requirements differ from all before."""
    bench = Workbench(data, make_executor(executor, data, InstallSettings(uv=uv)))
    request = bench.request(bench.spec(SCRIPT, requirements=f"{REQUIREMENTS}# {number}\n"))
    started = time.perf_counter()
    environment = await bench.executor.prepare(request, lambda _note: None)
    took_s = time.perf_counter() - started
    assert environment.installer == ("uv" if uv else "pip")
    assert not environment.cached
    result, _ = await bench.run(request)
    assert result is not None
    assert result.exit_code == 0
    for handle in await bench.executor.all():
        await bench.executor.remove(handle)
    await bench.executor.close()
    return took_s


async def measure(executor: str, rounds: int) -> list[Figure]:
    """One round after the other: pip, uv with nothing kept, uv with its downloads kept."""
    took: dict[str, list[float]] = {"pip": [], "uv": [], "uv, downloads kept": []}
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        data = Path(name)
        for number in range(rounds):
            took["pip"].append(await cold(executor, data, 3 * number, uv=False))
            for cache in (data / "environments/downloads").glob("*"):
                assert await asyncio.to_thread(empty_cache, cache)
            took["uv"].append(await cold(executor, data, 3 * number + 1, uv=True))
            took["uv, downloads kept"].append(await cold(executor, data, 3 * number + 2, uv=True))
    pip_s = statistics.median(took["pip"])
    shares = [Figure(f"{way} / pip", tuple(each / pip_s for each in took[way]), "") for way in took if way != "pip"]
    return [Figure(way, tuple(seconds), "s") for way, seconds in took.items()] + shares


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--executor", choices=EXECUTORS, default="process")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.executor, options.rounds))
    tell(f"A new environment, {options.executor} executor", figures, options.json)


if __name__ == "__main__":
    main()
