"""Entity tags: by which a change knows that what it was meant for is still what it was."""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

from schemas.errors import BadInput, Stale
from schemas.model_views import ModelView, VersionView

Tag = Annotated[str | None, Header()]
"""``If-Match`` or ``If-None-Match``, as it was sent."""


@dataclass(frozen=True, slots=True)
class Premise:
    """What a change says that it was meant for."""

    if_match: Tag = None
    if_none_match: Tag = None

    @property
    def new(self) -> bool:
        """It is only to be made."""
        return self.if_none_match is not None and self.if_none_match.strip() == "*"

    @property
    def any(self) -> bool:
        """It is only to be changed, whatever it is."""
        return self.if_match is not None and self.if_match.strip() == "*"


Given = Annotated[Premise, Depends()]

_DEPLOYED = {"versions": {"__all__": {"deployed"}}}


def model_tag(view: ModelView) -> str:
    """The tag of a model: another one after any change that people can make of it."""
    return _digest(view.model_dump_json(exclude=_DEPLOYED))  # where edges have it is not what people change


def version_tag(view: VersionView) -> str:
    """The tag of what people write of a version."""
    return _digest(view.model_dump_json(include={"name", "version", "note", "tags"}))


def alias_tag(revision: int) -> str:
    """The tag of an alias."""
    return f'"{revision}"'


def refuse_stale(if_match: str | None, tag: str, what: str) -> None:
    """Raise Stale unless ``If-Match`` allows what has this tag; without one, the last change wins."""
    if if_match is not None and if_match.strip() != "*" and tag not in _tags(if_match):
        raise Stale(f"{what} was changed meanwhile; read it again, and decide again")


def revision_of(if_match: str) -> int:
    """The revision in an alias's tag. Raises BadInput for what is none."""
    known = re.fullmatch(r'"?(\d{1,18})"?', if_match.strip())
    if known is None:
        raise BadInput(f"If-Match {if_match} is no tag of an alias; send the ETag that GET answered")
    return int(known[1])


def _tags(if_match: str) -> list[str]:
    return [tag.strip() for tag in if_match.split(",")]


def _digest(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
