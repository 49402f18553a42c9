"""Reads a daemon's configuration: environment over file over defaults, with mistakes told by file and key."""

import os
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from schemas.errors import BadInput


class FileSettings(BaseSettings):
    """Settings whose file is given as constructor arguments; the environment wins over it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - part of the overridden signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the file."""
        return env_settings, init_settings


Settings = TypeVar("Settings", bound=FileSettings)


def read_settings(kind: type[Settings], config: Path | None) -> Settings:
    """Read a TOML file, or none, and the environment.

    Raises:
        BadInput: the file cannot be read, or a key is missing, unknown or wrong; the message names file and key.
    """
    try:
        written = tomllib.loads(config.read_text(encoding="utf-8")) if config else {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the configuration {config}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{config} is not TOML: {error}") from error
    try:
        return kind(**written)
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        raise BadInput("\n".join(_mistakes(config, prefix, error))) from error


def _mistakes(config: Path | None, prefix: str, error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors():
        variable = prefix + "__".join(str(part) for part in mistake["loc"]).upper()
        place = f"environment variable {variable}" if variable in os.environ or config is None else str(config)
        key = ".".join(str(part) for part in mistake["loc"])
        reason = {
            "missing": "is needed and missing",
            "extra_forbidden": "is no setting (a typing mistake?)",
        }.get(mistake["type"], f"is wrong: {mistake['msg']}")
        lines.append(f"{place}: `{key}` {reason}")
    return lines
