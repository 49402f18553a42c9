"""How a task gets its secrets: fetched sealed, opened with this edge's key, laid out for its scripts, and removed.

Values exist in memory and in the task's secret folder alone: no journal, log, report or error holds any of them.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import replace

from pydantic import SecretStr, ValidationError

from edge_agent.execution.executor import TaskKey, TaskRequest
from edge_agent.execution.secret_folder import SecretFolders
from edge_agent.fetching import Fetcher
from edge_agent.patience import to_its_end
from schemas.errors import BadInput, TaskFailed, TidemillError, Untrusted
from schemas.names import BlobRef, EdgeName
from schemas.secrets import MAX_SEALED_BYTES, SealedSecrets, SecretValues, sealed_for
from schemas.tasks import TaskSpec
from transport.sealing import SealingKey

log = logging.getLogger(__name__)


class TaskSecrets:
    """The secrets of this edge's tasks."""

    def __init__(self, edge: EdgeName, key: SealingKey | None, fetcher: Fetcher, folders: SecretFolders) -> None:
        self._edge, self._key, self._fetcher, self._folders = edge, key, fetcher, folders

    async def lay_out(
        self, request: TaskRequest, spec: TaskSpec, sealed: BlobRef | None, note: Callable[[str], None]
    ) -> TaskRequest:
        """The request with the folder of its secrets, if the task has any.

        Raises:
            TaskFailed: they cannot be had or opened; the message says what to do.
            OSError: they do not fit.
        """
        if not spec.secrets:
            return request
        values = self._open(await self._read(sealed, note), request.key)
        create = asyncio.to_thread(self._folders.create, request.key, spec.secrets, values)
        return replace(request, secrets=await to_its_end(create))

    async def remove(self, key: TaskKey, sealed: BlobRef | None) -> None:
        """Leave nothing of them, sealed or open."""
        await to_its_end(asyncio.to_thread(self._folders.remove, key))
        if sealed is not None:
            self._fetcher.forget(sealed)

    async def remove_strangers(self, known: Collection[TaskKey]) -> None:
        """Remove what attempts left here that are no longer known."""
        for key in self._folders.attempts():
            if key not in known:
                log.warning("secrets of an unknown task removed", extra={"task": str(key)})
                await self.remove(key, None)

    async def _read(self, sealed: BlobRef | None, note: Callable[[str], None]) -> SealedSecrets:
        if sealed is None:
            raise TaskFailed("the controller sent no secrets with it, and its job asks for some")
        try:
            return SealedSecrets.model_validate_json(await self._fetcher.read(sealed, MAX_SEALED_BYTES, note))
        except TidemillError as error:
            raise TaskFailed(f"its secrets cannot be had: {error}") from error
        except ValidationError as error:
            raise TaskFailed(f"its secrets {sealed.digest} are sealed as this agent does not know it") from error

    def _open(self, sealed: SealedSecrets, key: TaskKey) -> dict[str, str]:
        again = f"put the line that `tidemill edge rekey {self._edge}` prints into the agent's configuration"
        if self._key is None:
            raise TaskFailed(f"this agent has no sealing_key to open secrets with; {again}")
        try:
            plain = self._key.open(sealed, about=sealed_for(self._edge, key.run_id, key.attempt))
        except Untrusted as error:
            raise TaskFailed(f"its secrets do not open: {error}; {again}") from error
        try:
            return SecretValues.model_validate_json(plain).values
        except ValidationError:
            raise TaskFailed("its secrets are written as this agent does not know it") from None  # it shows values


def sealing_key(configured: SecretStr | None, edge: EdgeName) -> SealingKey | None:
    """The key in the agent's configuration. Raises BadInput, which does not show it."""
    try:
        return SealingKey.parse(configured.get_secret_value()) if configured else None
    except BadInput as error:
        raise BadInput(f"`sealing_key`: {error}; `tidemill edge rekey {edge}` prints a new one") from error
