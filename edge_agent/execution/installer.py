"""Makes a virtual environment and installs requirements into it; needs Python 3.8 and nothing else.

    python -I installer.py --venv VENV --log LOG [--system-packages] [--uv UV] [-- pip install's arguments …]

Runs on the machine or inside an installing container, and ends with the exit code of what failed.
"""

from __future__ import annotations

import argparse
import compileall
import configparser
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

UNSUITABLE = 75  # exit code: uv cannot be used here, and the log says why
NOT_AN_IMAGES_OWN = {"pip", "setuptools", "wheel", "distribute", "pkg-resources"}
# Of pip's configuration: what is passed on to uv, and what makes no difference. With anything else, pip is needed.
PASSED_ON = ("index-url", "extra-index-url", "find-links", "trusted-host", "constraint")
NO_DIFFERENCE = {
    *("cache-dir", "no-cache-dir", "cert", "config-file", "default-timeout", "timeout", "retries", "no-input"),
    *("disable-pip-version-check", "no-python-version-warning", "no-warn-script-location", "root-user-action"),
    *("break-system-packages", "require-virtualenv", "progress-bar", "no-color", "quiet", "verbose", "compile"),
}


def main(order: argparse.Namespace) -> int:
    """Make the environment; everything that is said goes to the log."""
    output = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with_pip = bool(order.arguments) and not order.uv
    if with_pip and importlib.util.find_spec("ensurepip") is None:
        raise SystemExit("this Python cannot bring pip into an environment (no ensurepip): install python3-venv")
    if order.uv and (reason := _unsuitable(order.uv, order.system_packages)):
        _say(reason)
        return UNSUITABLE
    venv.create(order.venv, symlinks=True, with_pip=with_pip, system_site_packages=order.system_packages)
    if not order.arguments:
        return 0
    with tempfile.TemporaryDirectory(dir=order.venv) as scratch:  # on disk: /tmp of a container is memory
        install = _with_uv if order.uv else _with_pip
        return install(order, {**os.environ, "TMPDIR": scratch})


def _with_pip(order: argparse.Namespace, variables: dict[str, str]) -> int:
    fixed = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--no-warn-script-location"]
    command = [str(order.venv / "bin/python"), "-m", "pip", "install", *fixed, *order.arguments]
    return subprocess.run(command, env=variables, check=False).returncode


def _with_uv(order: argparse.Namespace, variables: dict[str, str]) -> int:
    fixed = ["--python", str(order.venv / "bin/python"), "--no-progress", "--color", "never"]
    settings = pip_settings()
    if settings.get("cert"):
        variables["SSL_CERT_FILE"] = settings["cert"]
    # Like pip: the best version of all the indexes, not the best of the first that has any.
    fixed += ["--index-strategy", "unsafe-best-match", *configured(settings, order.arguments)]
    code = subprocess.run([order.uv, "pip", "install", *fixed, *order.arguments], env=variables, check=False).returncode
    if code == 0:
        # Once here rather than at each import: tasks cannot write there. Not by uv, which starts the new environment
        # for it: a package's start-up file would run beside uv's cache.
        compileall.compile_dir(order.venv / "lib", quiet=2, workers=0)
    return code


def _unsuitable(uv: str, system_packages: bool) -> str:
    """Why uv cannot be used here; empty if it can."""
    try:
        subprocess.run([uv, "--version"], stdout=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"uv does not run here: {error}"
    if system_packages and (own := _brought_along()):
        return f"the image brings packages along, which uv would not count: {', '.join(own[:5])}"
    known = {*PASSED_ON, "no-index", *NO_DIFFERENCE}
    unknown = sorted(set(pip_settings()) - known)
    return f"uv does not follow what pip's configuration says of {', '.join(unknown)}" if unknown else ""


def _brought_along() -> list[str]:
    names = {str(found.metadata["Name"]).lower().replace("_", "-") for found in importlib.metadata.distributions()}
    return sorted(names - NOT_AN_IMAGES_OWN)


def pip_settings() -> dict[str, str]:
    """What pip's configuration files and variables say of ``pip install``, by the option's name."""
    home, named = Path("~").expanduser(), os.environ.get("PIP_CONFIG_FILE", "")
    user = os.environ.get("XDG_CONFIG_HOME") or home / ".config"
    shared = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    files = [*(Path(folder, "pip/pip.conf") for folder in reversed(shared)), Path("/etc/pip.conf")]
    files += [home / ".pip/pip.conf", Path(user, "pip/pip.conf"), *([Path(named)] if named else [])]
    settings: dict[str, str] = {}
    if named != os.devnull:
        parser = configparser.RawConfigParser()
        parser.read(files, encoding="utf-8")
        for section in ("global", "install"):
            settings.update(dict(parser[section]) if section in parser else {})
    variables = {name[4:].lower(): value for name, value in os.environ.items() if name.startswith("PIP_") and value}
    return {name.replace("_", "-"): value for name, value in {**settings, **variables}.items()}


def configured(settings: dict[str, str], arguments: list[str]) -> list[str]:
    """The places and constraints of pip's configuration, as arguments for uv beside those that it is given anyway."""
    without_index = "--no-index" in arguments or settings.get("no-index", "") in {"1", "true", "yes", "on"}
    left_out = {"index-url", "extra-index-url"} if without_index else set()
    if {"-i", "--index-url"} & {argument.partition("=")[0] for argument in arguments}:
        left_out.add("index-url")
    told = ["--no-index"] if without_index and "--no-index" not in arguments else []
    for name in PASSED_ON:
        if name not in left_out:
            told += [part for value in settings.get(name, "").split() for part in (f"--{name}", value)]
    return told


def _say(text: str) -> None:
    os.write(1, f"tidemill: {text}\n".encode())


def _order(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--system-packages", action="store_true")
    parser.add_argument("--uv")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args(words)


def _as_itself() -> None:
    """Go on as the Python that a link in another folder leads to: an environment made by the link's name is broken."""
    real = Path(sys.executable).resolve()
    if sys.prefix == sys.base_prefix and real.parent != Path(sys.executable).parent:
        os.execv(real, [str(real), "-I", *sys.argv])  # noqa: S606 - no shell


if __name__ == "__main__":
    _as_itself()
    sys.exit(main(_order(sys.argv[1:])))
