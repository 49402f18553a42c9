"""How a task's and an installer's container are shut in: users, mounts, limits and variables. Pure but for paths."""

import os
import ssl
from pathlib import Path
from typing import Any

from edge_agent.execution.environment_place import Place
from edge_agent.execution.environments import InstallSettings
from edge_agent.execution.executor import Environment, TaskKey, TaskRequest
from edge_agent.execution.task_variables import for_scripts

TASK, ENVIRONMENT = "/task", "/opt/tidemill/env"  # an environment cannot be moved: the same path when made and used
_ORDER, _LOG, _WHEELHOUSE, _AUTHORITIES = (f"/opt/tidemill/{name}" for name in ("order", "log", "wheels", "ca.crt"))
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOBODY = 65534
WRITABLE = ("output", "work", "control")  # of the attempt's folder

Options = dict[str, Any]


def user() -> tuple[int, int]:
    """Who a container runs as: never root, and able to write what this agent may read."""
    return (_NOBODY, _NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())


def container_name(key: TaskKey) -> str:
    """The name that makes an attempt's second container impossible."""
    return f"tidemill-{key}"


def labels(edge: str, tasks: Path, key: TaskKey | None = None) -> dict[str, str]:
    """What containers are found by; without a key, what all of an agent's tasks have."""
    ours = {"tidemill.edge": edge, "tidemill.tasks": str(tasks)}
    return ours | ({"tidemill.run": str(key.run_id), "tidemill.attempt": str(key.attempt)} if key else {})


def task_options(request: TaskRequest, environment: Environment, install: InstallSettings) -> Options:
    """The container of a task."""
    limits, folder = request.limits, request.folder
    mounts = [
        _mount(folder / "input", f"{TASK}/input", read_only=True),
        *(_mount(folder / name, f"{TASK}/{name}") for name in WRITABLE),
        _mount(environment.path, ENVIRONMENT, read_only=True),
    ]
    variables = for_scripts(request.contract(TASK), TASK, ENVIRONMENT, _PATH)
    memory = {"mem_limit": f"{limits.memory_mb}m", "memswap_limit": f"{limits.memory_mb}m"} if limits.memory_mb else {}
    cpus = {"nano_cpus": int(limits.cpus * 1e9)} if limits.cpus else {}
    networked = limits.network == "allow"
    authorities, trust = _trust(install) if networked else ([], {})
    return {
        **_shut_in(),
        **memory,
        **cpus,
        "image": environment.image_digest,
        "name": container_name(request.key),
        "entrypoint": [f"{ENVIRONMENT}/bin/python", "-I", f"{TASK}/input/runner.py", TASK],
        "environment": {"LANG": "C.UTF-8"} | variables | trust,
        "mounts": mounts + authorities,
        "network_mode": "bridge" if networked else "none",
        "oom_score_adj": 500,  # short of memory, the kernel ends a task before it ends the agent
        "pids_limit": limits.pids,
        "working_dir": f"{TASK}/work",
    }


def installer_options(place: Place, image: str, install: InstallSettings) -> Options:
    """The container that makes an environment: it has the network, and writes to the environment alone."""
    requirements = place.order / "requirements.txt"
    pip = install.pip_arguments(f"{_ORDER}/{requirements.name}", _WHEELHOUSE) if requirements.exists() else []
    wheels = [_mount(install.wheelhouse, _WHEELHOUSE, read_only=True)] if install.wheelhouse else []
    authorities, trust = _trust(install)
    return {
        **_shut_in(),
        "image": image,
        "name": f"tidemill-install-{place.folder.name}",
        # What the image brings along stays usable beside what the requirements add.
        "entrypoint": ["python3", "-I", f"{_ORDER}/installer.py", ENVIRONMENT, f"{_LOG}/pip.log", "--system-packages"],
        "command": pip,
        "environment": {"HOME": "/tmp", "LANG": "C.UTF-8", "PIP_NO_CACHE_DIR": "1", **trust},  # noqa: S108
        "mounts": [
            _mount(place.order, _ORDER, read_only=True),
            _mount(place.log, _LOG),
            _mount(place.venv, ENVIRONMENT),
            *wheels,
            *authorities,
        ],
        "pids_limit": 1024,
    }


def _shut_in() -> Options:
    uid, gid = user()
    return {
        "cap_drop": ["ALL"],
        "healthcheck": {"test": ["NONE"]},
        "init": True,
        "log_config": {"type": "local", "config": {"max-size": "10m", "max-file": "2"}},
        "read_only": True,
        "security_opt": ["no-new-privileges"],
        "tmpfs": {"/tmp": "size=256m,mode=1777"},  # noqa: S108 - inside the container
        "user": f"{uid}:{gid}",
    }


def _mount(source: Path, target: str, *, read_only: bool = False) -> Options:
    return {"Type": "bind", "Source": str(source.absolute()), "Target": target, "ReadOnly": read_only}


def _trust(install: InstallSettings) -> tuple[list[Options], dict[str, str]]:
    """The mount and the variables that make a container trust the authorities this machine trusts."""
    verify = ssl.get_default_verify_paths()
    candidates = (install.ca_bundle, verify.cafile, "/etc/ssl/certs/ca-certificates.crt")
    bundle = next((Path(path).resolve() for path in candidates if path and Path(path).is_file()), None)
    if bundle is None:
        return [], {}
    variables = dict.fromkeys(("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), _AUTHORITIES)
    return [_mount(bundle, _AUTHORITIES, read_only=True)], variables
