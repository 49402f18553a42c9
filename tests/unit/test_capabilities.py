"""What an agent tells of its machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.capabilities import capabilities, gpu_count


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for a program called nvidia-smi, on a machine whose kernel tells of no GPU."""
    if any(Path("/proc/driver/nvidia/gpus").glob("*")):
        pytest.skip("this machine has GPUs")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    gpu_count.cache_clear()
    yield tmp_path / "nvidia-smi"
    gpu_count.cache_clear()


def test_gpus_are_those_that_the_driver_lists(driver: Path) -> None:
    """Each GPU's line counts, and the lines of its parts do not."""
    driver.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    driver.chmod(0o755)
    assert capabilities(executor="docker", max_tasks=1).gpus == 2


@pytest.mark.parametrize("program", [None, "#!/bin/sh\nexit 9\n", "no program\n"])
def test_without_a_working_driver_there_are_no_gpus(driver: Path, program: str | None) -> None:
    """No program, one that fails and one that is none are no reason for an agent not to start."""
    if program is not None:
        driver.write_text(program)
        driver.chmod(0o755)
    assert gpu_count() == 0
