"""Where requirements come from, as the agent's configuration says, and what installers are told of it. Pure."""

import re
from dataclasses import dataclass
from pathlib import Path

# Whom to trust, for pip, for its library (whose variable would win over pip's own) and for all others.
TRUST_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

# Arguments of `pip install` that mean the same to `uv pip install`.
_UV_FLAGS = {"--no-index", "--no-deps", "--pre", "--require-hashes"}
_UV_OPTIONS = {
    *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host"),
    *("-c", "--constraint", "--only-binary"),
}
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(?=\s|$)")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_OPTION = re.compile(r"(?:^|\s)-")


@dataclass(frozen=True, slots=True)
class InstallSettings:
    """How requirements are installed, and how much of the disk what was installed may take."""

    index_url: str | None = None  # default: what pip's own configuration says
    wheelhouse: Path | None = None  # a folder of wheels that is looked into as well
    ca_bundle: Path | None = None  # authorities to trust; default: this machine's
    pip_args: tuple[str, ...] = ()  # such as --no-index
    uv: bool = True  # with uv where it can do it, else with pip
    timeout_s: float = 1800.0
    environments_bytes: int = 20 * 1024**3  # of all environments and uv's cache
    reserve_bytes: int = 500 * 1024**2  # disk that is left free for everything else

    def arguments(self, requirements: str, wheelhouse: str) -> list[str]:
        """What ``pip install`` and ``uv pip install`` are given, with paths as the installer sees them."""
        index = ["--index-url", self.index_url] if self.index_url else []
        links = ["--find-links", wheelhouse] if self.wheelhouse else []
        return ["--requirement", requirements, *index, *links, *self.pip_args]

    @property
    def suit_uv(self) -> bool:
        """Whether uv may be tried: it is wanted, and understands every one of ``pip_args`` as pip does."""
        arguments = list(self.pip_args)
        while arguments and self.uv:
            name, written, _ = arguments.pop(0).partition("=")
            if name in _UV_FLAGS and not written:
                continue
            if name not in _UV_OPTIONS or not (written or arguments):
                return False
            if not written:
                arguments.pop(0)
        return self.uv


def has_options(requirements: str) -> bool:
    """Whether a requirements file holds anything but requirements, their hashes and comments.

    An option such as ``--no-binary`` or ``-r`` could make uv build a package, which runs the package's code, although
    it was told not to. In doubt the answer is yes: lines are split at more characters than uv splits them at.
    """
    return any(_OPTION.search(_HASH.sub("", _COMMENT.sub("", line))) for line in requirements.splitlines())
