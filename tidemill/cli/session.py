"""Which controller a command speaks to, and with which token."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from schemas.errors import BadInput

if TYPE_CHECKING:
    from tidemill.client import Client

DEFAULT_URL = "http://127.0.0.1:8420"


@dataclass(frozen=True, slots=True)
class ControllerChoice:
    """What the options before the command said."""

    url: str
    token: str | None


def connect(context: typer.Context) -> "Client":
    """The chosen controller's API; nothing is sent yet."""
    from tidemill.client import Client  # noqa: PLC0415 - see the package's first line

    choice = context.find_object(ControllerChoice) or ControllerChoice(DEFAULT_URL, None)
    return Client(choice.url, choice.token or _token_from_file())


def token_file() -> Path:
    """Where the token is kept that is used when none is given."""
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "tidemill" / "token"


def _token_from_file() -> str | None:
    try:
        return token_file().read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the token file {token_file()} cannot be read: {error}") from error
