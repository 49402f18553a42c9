"""How a task's and an installer's container are shut in: users, mounts, limits and variables. Pure but for paths."""

import hashlib
import ssl
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import psutil

from edge_agent.execution.container_user import user
from edge_agent.execution.environment_place import Place
from edge_agent.execution.executor import Environment, TaskKey, TaskRequest
from edge_agent.execution.install_settings import TRUST_VARIABLES, InstallSettings
from edge_agent.execution.task_variables import for_scripts
from edge_agent.execution.uv_program import VARIABLES
from schemas.jobs import Limits

TASK, ENVIRONMENT = "/task", "/opt/tidemill/env"  # an environment cannot be moved: the same path when made and used
EDGE_FOLDER, SECRETS = "/data/edge", "/run/tidemill-secrets"
_PLACES = ("order", "log", "wheels", "ca.crt", "uv", "downloads")
_ORDER, _LOG, _WHEELHOUSE, _AUTHORITIES, _UV, _DOWNLOADS = (f"/opt/tidemill/{name}" for name in _PLACES)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OPEN_FILES = 4096  # enough for a script; more than what Docker itself may open would be refused
_INSTALLER_LIMITS = Limits(pids=1024)
WRITABLE = ("output", "work", "control")  # of the attempt's folder

Options = dict[str, Any]


def container_name(key: TaskKey) -> str:
    """The name that makes an attempt's second container impossible."""
    return f"tidemill-{key}"


def labels(edge: str, tasks: Path, key: TaskKey | None = None, gpus: Sequence[int] = ()) -> dict[str, str]:
    """What containers are found by; without a key, what all of an agent's tasks have."""
    ours = {"tidemill.edge": edge, "tidemill.tasks": str(tasks)}
    if key is None:
        return ours
    its = {"tidemill.run": str(key.run_id), "tidemill.attempt": str(key.attempt)}
    return ours | its | {"tidemill.gpus": " ".join(str(gpu) for gpu in gpus)}


def task_options(
    request: TaskRequest, environment: Environment, install: InstallSettings, gpus: Sequence[int] = ()
) -> Options:
    """The container of a task, which is given these GPUs."""
    limits, folder = request.limits, request.folder
    mounts = [
        _mount(folder / "input", f"{TASK}/input", read_only=True),
        *(_mount(folder / name, f"{TASK}/{name}") for name in WRITABLE),
        _mount(environment.path, ENVIRONMENT, read_only=True),
    ]
    variables = for_scripts(request.contract(TASK), TASK, ENVIRONMENT, _PATH)
    if request.edge_folder is not None:
        # What is mounted below it is left out: Docker would not make that read-only.
        alone = {"BindOptions": {"NonRecursive": True}}
        mounts.append(_mount(request.edge_folder, EDGE_FOLDER, read_only=True) | alone)
        variables["edge_folder_path"] = EDGE_FOLDER
    secrets = [] if request.secrets is None else ["--secrets", SECRETS]
    if request.secrets is not None:
        mounts.append(_mount(request.secrets, SECRETS, read_only=True))
    networked = limits.network == "allow"
    authorities, trust = _trust(install) if networked else ([], {})
    return {
        **_shut_in(limits),
        **(
            {"device_requests": [{"device_ids": [str(gpu) for gpu in gpus], "capabilities": [["gpu"]]}]} if gpus else {}
        ),
        "image": environment.image_digest,
        "name": container_name(request.key),
        "entrypoint": [f"{ENVIRONMENT}/bin/python", "-I", f"{TASK}/input/runner", TASK, *secrets],
        "environment": {"LANG": "C.UTF-8"} | variables | trust,
        "mounts": mounts + authorities,
        "network_mode": "bridge" if networked else "none",
        "ulimits": [_ulimit("core", 0), _ulimit("nofile", _OPEN_FILES)],
        "working_dir": f"{TASK}/work",
    }


def installer_options(place: Place, image: str, install: InstallSettings, uv: Path | None = None) -> Options:
    """The container that makes an environment: it has the network, and writes to the environment alone.

    Args:
        place: where the environment is to be.
        image: whose Python it is for.
        install: the agent's settings.
        uv: this machine's, to install with; None: install with pip.
    """
    asked = install.arguments(f"{_ORDER}/{place.requirements.name}", _WHEELHOUSE) if place.requirements.exists() else []
    wheels = [_mount(install.wheelhouse, _WHEELHOUSE, read_only=True)] if install.wheelhouse else []
    authorities, trust = _trust(install)
    return {
        **_shut_in(_INSTALLER_LIMITS),
        "image": image,
        "name": f"tidemill-install-{_mark_of(place)}",
        # What the image brings along stays usable beside what the requirements add.
        "entrypoint": ["python3", "-I", f"{_ORDER}/installer.py", "--venv", ENVIRONMENT, "--system-packages"],
        "command": ["--log", f"{_LOG}/install.log", *(["--uv", _UV] if uv else []), "--", *asked],
        "environment": {"HOME": "/tmp", "LANG": "C.UTF-8", "PIP_NO_CACHE_DIR": "1", **trust},  # noqa: S108
        "mounts": [
            _mount(place.order, _ORDER, read_only=True),
            _mount(place.log, _LOG),
            _mount(place.venv, ENVIRONMENT),
            *([_mount(uv, _UV, read_only=True)] if uv else []),
            *wheels,
            *authorities,
        ],
    }


def with_downloads(options: Options, downloads: Path | None) -> Options:
    """Let uv keep what it downloads in this folder, and take from it, but build nothing; without one, keep nothing."""
    kept = {"UV_NO_CACHE": "1"}
    if downloads is not None:
        mounts, command = [*options["mounts"], _mount(downloads, _DOWNLOADS)], [*options["command"], "--no-build"]
        options = options | {"mounts": mounts, "command": command}
        kept = {"UV_CACHE_DIR": _DOWNLOADS, "UV_LINK_MODE": "copy"}
    return options | {"environment": options["environment"] | VARIABLES | kept}


def free_gpus(wanted: int, there: int, taken: Collection[int]) -> list[int] | None:
    """Which GPUs a task gets, by number; None while others have too many of them."""
    free = [number for number in range(there) if number not in taken]
    return free[:wanted] if len(free) >= wanted else None


def _shut_in(limits: Limits) -> Options:
    uid, gid = user()
    memory_mb = limits.memory_mb or _most_memory_mb()
    return {
        **({"nano_cpus": int(limits.cpus * 1e9)} if limits.cpus else {}),
        "cap_drop": ["ALL"],
        "healthcheck": {"test": ["NONE"]},
        "init": True,
        "log_config": {"type": "local", "config": {"max-size": "10m", "max-file": "2"}},
        "mem_limit": f"{memory_mb}m",
        "memswap_limit": f"{memory_mb}m",
        "oom_score_adj": 500,  # short of memory, the kernel ends a task before it ends the agent
        "pids_limit": limits.pids,
        "read_only": True,
        "security_opt": ["no-new-privileges"],
        "shm_size": f"{limits.tmpfs_mb}m",
        "tmpfs": {"/tmp": f"size={limits.tmpfs_mb}m,mode=1777"},  # noqa: S108 - inside the container
        "user": f"{uid}:{gid}",
    }


def _mark_of(place: Place) -> str:
    """What tells it from the same environment of another agent on this machine."""
    return hashlib.sha256(str(place.folder.absolute()).encode()).hexdigest()[:32]


def _most_memory_mb() -> int:
    """What a container may take that has no limit of its own: the rest is for this agent and its machine."""
    total_mb = psutil.virtual_memory().total // 1024**2
    return max(total_mb // 2, total_mb - 1024)


def _ulimit(name: str, most: int) -> Options:
    return {"name": name, "soft": most, "hard": most}


def _mount(source: Path, target: str, *, read_only: bool = False) -> Options:
    return {"Type": "bind", "Source": str(source.absolute()), "Target": target, "ReadOnly": read_only}


def _trust(install: InstallSettings) -> tuple[list[Options], dict[str, str]]:
    """The mount and the variables that make a container trust the authorities this machine trusts."""
    verify = ssl.get_default_verify_paths()
    candidates = (install.ca_bundle, verify.cafile, "/etc/ssl/certs/ca-certificates.crt")
    bundle = next((Path(path).resolve() for path in candidates if path and Path(path).is_file()), None)
    if bundle is None:
        return [], {}
    variables = dict.fromkeys(TRUST_VARIABLES, _AUTHORITIES)
    return [_mount(bundle, _AUTHORITIES, read_only=True)], variables
