"""Which of the agent's own environment variables a child may see: its credentials are not among them."""

import os
from collections.abc import Mapping

_FOR_SCRIPTS = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
)
_FOR_INSTALLERS = ("HOME", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy")


def for_scripts(contract: Mapping[str, str], root: str, environment: str, path: str) -> dict[str, str]:
    """All that a script's environment holds, but for what the machine adds.

    Args:
        contract: the job contract's variables.
        root: where the script sees the attempt's folder.
        environment: where it sees the virtual environment.
        path: for programs outside that.
    """
    return {
        "HOME": f"{root}/work",
        "PATH": f"{environment}/bin:{path}",
        "PYTHONUTF8": "1",
        "TMPDIR": f"{root}/work/tmp",
        "VIRTUAL_ENV": environment,
        **contract,
    }


def of_machine(agent: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What scripts that run on the machine itself take over from the agent."""
    return {name: agent[name] for name in _FOR_SCRIPTS if name in agent}


def for_installer(agent: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What an installer on the machine itself takes over: where pip's configuration and cache are, and proxies."""
    pip = {name: value for name, value in agent.items() if name.startswith("PIP_")}
    return of_machine(agent) | pip | {name: agent[name] for name in _FOR_INSTALLERS if name in agent}
