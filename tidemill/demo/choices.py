"""Which executor the demonstration uses, and why."""

import os
from dataclasses import dataclass

from edge_agent.execution.images import availability
from edge_agent.settings import AgentSettings
from schemas.errors import BadInput

IMAGE = os.environ.get("TIDEMILL_AGENT_IMAGE") or str(AgentSettings.model_fields["image"].default)


@dataclass(frozen=True, slots=True)
class Choice:
    """An executor, and the reason in words."""

    executor: str
    why: str
    image: str = IMAGE


async def choose_executor(asked: str | None) -> Choice:
    """Docker if there is one, otherwise processes.

    Raises:
        BadInput: what was asked for cannot be had here.
    """
    if asked not in {None, "docker", "process"}:
        raise BadInput(f"--executor {asked}: choose docker or process")
    if asked == "process":
        return Choice("process", "it was asked for; processes share this machine and are not isolated")
    reason = await availability(IMAGE)
    if reason is None:
        return Choice("docker", "it was asked for" if asked else "Docker answers and has the image")
    if asked == "docker":
        raise BadInput(f"--executor docker: {reason}")
    return Choice("process", f"no Docker for it: {reason}")
