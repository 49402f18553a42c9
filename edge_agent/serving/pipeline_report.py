"""What the report says of one pipeline: as it runs, and what is in the way of what is wanted."""

from collections.abc import Sequence

from edge_agent.shelf.ready import ReadyPipeline
from edge_agent.shelf.wanted_set import Entry
from schemas.manifest import WantedPipeline
from schemas.report import ModelState, PipelineState, PipelineStatus, Returned


def status_of(
    entry: Entry[WantedPipeline, ReadyPipeline],
    running: PipelineStatus | None,
    returned: Returned | None,
    shadows: Sequence[str],
) -> PipelineStatus:
    """The status.

    Args:
        entry: what is wanted.
        running: what the workers say, if there are any.
        returned: what was gone back from.
        shadows: what is in the way of each that is not there.
    """
    wanted = entry.wanted
    if running is None:
        state = PipelineState.FAILED if entry.state is ModelState.FAILED else PipelineState.STARTING
        told = PipelineStatus(name=wanted.name, version=wanted.version, state=state, reason=entry.reason)
        return told.model_copy(update={"returned": returned})
    state, reasons = running.state, [running.reason]
    if returned is not None:
        reasons = [f"went back from version {returned.version}: {returned.reason}", running.reason]
    elif entry.ready is None:
        reasons = [f"version {wanted.version}: {entry.reason}"]
    behind = returned is not None or (entry.ready is None and entry.failed)
    if behind and state is PipelineState.LISTENING:
        state = PipelineState.DEGRADED
    reason = "; ".join(filter(None, [*reasons, *shadows]))
    since = running.since if state is running.state else None
    return running.model_copy(update={"state": state, "since": since, "reason": reason, "returned": returned})
