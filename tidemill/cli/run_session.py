"""Under which name `tidemill pipeline run` is known to the broker, and what the broker keeps by that name."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edge_agent.serving.pipeline_sessions import PipelineSessions
from edge_agent.worker.worker_protocol import Connect
from pipeline_runtime.compiling.plan import Plan
from schemas.broker import BrokerAddress
from schemas.errors import BadInput
from schemas.names import Name
from schemas.topics import shared
from transport.folder_lock import own_folder


@dataclass(frozen=True, slots=True)
class RunSession:
    """How to connect, and whom to tell when the pipeline listens."""

    connect: Connect
    listens: Callable[[], None]


@contextmanager
def run_session(name: str | None, broker: BrokerAddress, plan: Plan) -> Iterator[RunSession]:
    """A session for the length of the block; one with a name is kept by the broker after it.

    Which topics it is subscribed to is written down, for the broker tells nobody: what the file no longer listens to
    when it is run again must be unsubscribed from, or its messages would fill the broker's window for this session.

    Raises:
        BadInput: that is no name, or nothing can be written down.
        Conflict: another process here uses a session of that name; the broker would give it to each in turn.
    """
    if name is None:
        client_id = f"tidemill-run-{secrets.token_hex(4)}"  # a process id is the same in many a container
        yield RunSession(Connect(broker=broker, client_id=client_id, keep_session=False), lambda: None)
        return
    folder = _folder() / _checked(name)
    with own_folder(folder, "pipeline run", named_by="--session"):
        sessions, at = PipelineSessions(folder / "filters.json"), f"{broker.host}:{broker.port}"
        wanted = frozenset(shared(group, topic) if group else topic for topic, _, group in plan.subscriptions)
        stale, replaced = sessions.left_over(at, wanted)
        sessions.remember(at, sessions.filters(at) | wanted)
        connect = Connect(
            broker=broker,
            client_id=f"tidemill-session-{name}",
            stale_filters=tuple(sorted(stale)),
            replaced_filters=tuple(sorted(replaced)),
        )
        yield RunSession(connect, lambda: sessions.remember(at, wanted))


def _folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "tidemill" / "sessions"


def _checked(name: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise BadInput(
            f"--session {name!r}: write up to 100 letters, digits, dots, dashes and _, a letter or digit first"
        ) from error
