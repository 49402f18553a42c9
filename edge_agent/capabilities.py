"""What this machine can do, and how busy it is."""

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

import psutil

from schemas.report import Capabilities

GPU_LIST_TIMEOUT_S = 15


def capabilities(*, executor: str, max_tasks: int) -> Capabilities:
    """Look at the machine once."""
    return Capabilities(
        executors=(executor,),
        cpus=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpu_count(),
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        max_tasks=max_tasks,
    )


@cache
def gpu_count() -> int:
    """How many GPUs NVIDIA's driver has; asked once."""
    if found := len(list(Path("/proc/driver/nvidia/gpus").glob("*"))):
        return found
    if (program := shutil.which("nvidia-smi")) is None:
        return 0
    try:  # where the driver belongs to another system below this one, as in WSL
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=GPU_LIST_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def disk_free_bytes(folder: Path) -> int:
    """What is left for us on the disk that holds ``folder``."""
    return shutil.disk_usage(folder).free


def load_per_cpu() -> float:
    """The one-minute load average, 1.0 when every cpu has one thing to do."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
