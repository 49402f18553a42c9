"""What this machine can do, and how busy it is."""

import os
import platform
import shutil
from pathlib import Path

import psutil

from schemas.report import Capabilities


def capabilities(*, executor: str, max_tasks: int) -> Capabilities:
    """Look at the machine once."""
    return Capabilities(
        executors=(executor,),
        cpus=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        gpus=len(list(Path("/proc/driver/nvidia/gpus").glob("*"))),  # there without any library when the driver is
        platform=f"{platform.system()}-{platform.machine()}".lower(),
        max_tasks=max_tasks,
    )


def disk_free_bytes(folder: Path) -> int:
    """What is left for us on the disk that holds ``folder``."""
    return shutil.disk_usage(folder).free


def load_per_cpu() -> float:
    """The one-minute load average, 1.0 when every cpu has one thing to do."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
