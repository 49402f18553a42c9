"""Bringing a task's spec and inputs onto this machine."""

from collections.abc import Callable

from pydantic import ValidationError

from edge_agent.execution.executor import TaskKey
from edge_agent.fetching import Fetcher
from schemas.errors import OutOfDisk, TaskFailed, TidemillError, TooLarge
from schemas.names import BlobRef
from schemas.runs import Usage
from schemas.tasks import TaskSpec

SPEC_LIMIT_BYTES = 4 * 1024 * 1024


class Inputs:
    """Fetches what a task needs before its folder can be made."""

    def __init__(self, fetcher: Fetcher, *, reserve_bytes: int) -> None:
        self._fetcher, self._reserve_bytes = fetcher, reserve_bytes

    async def spec(self, key: TaskKey, ref: BlobRef, note: Callable[[str], None]) -> TaskSpec:
        """The task's spec, fetched unless it is here.

        Raises:
            TaskFailed: it cannot be had, is not one this agent understands, or is another run's.
        """
        try:
            text = await self._fetcher.read(ref, SPEC_LIMIT_BYTES, note)
            spec = TaskSpec.model_validate_json(text)
        except TidemillError as error:
            raise TaskFailed(f"the task's spec cannot be had: {error}") from error
        except ValidationError as error:
            raise TaskFailed(f"the task's spec {ref.digest} is not one this agent understands: {error}") from error
        if spec.run_id != key.run_id:
            raise TaskFailed(f"the spec {ref.digest} is of run {spec.run_id}, not of run {key.run_id}")
        return spec

    async def fetch(self, spec: TaskSpec, note: Callable[[str], None]) -> Usage:
        """Bring every input here, whole and verified; how much of them came, and how much was here.

        Raises:
            OutOfDisk: the disk is too small for them.
            TaskFailed: one cannot be had; the reason names it.
        """
        inputs = dict(spec.files())
        missing = {ref.digest: ref.size_bytes for ref in inputs.values() if not self._fetcher.held(ref)}
        copied_bytes = sum(ref.size_bytes for ref in inputs.values())  # into the task's folder
        needed_bytes = sum(missing.values()) + copied_bytes + self._reserve_bytes
        if needed_bytes > self._fetcher.free_bytes:
            raise OutOfDisk(
                f"not enough disk for the inputs: they need {needed_bytes / 1e6:.0f} MB to be fetched and laid out, "
                f"with what is to stay free (disk_reserve_mb), {self._fetcher.free_bytes / 1e6:.0f} MB are free"
            )
        if missing:
            note(f"fetching {len(missing)} inputs, {sum(missing.values()) / 1e6:.1f} MB")
        for place, ref in inputs.items():
            try:
                await self._fetcher.fetch(ref, note)
            except TooLarge as error:
                raise OutOfDisk(f"not enough disk for the input {_said(place)}: {error}") from error
            except TidemillError as error:
                raise TaskFailed(f"the input {_said(place)} cannot be had: {error}") from error
        fetched_bytes = sum(missing.values())
        total_bytes = sum({ref.digest: ref.size_bytes for ref in inputs.values()}.values())
        return Usage(fetched_bytes=fetched_bytes, cached_bytes=total_bytes - fetched_bytes)


def _said(place: str) -> str:
    """An input as people know it: ``scripts/train.py``, ``collection_data_1.json``."""
    return place.partition("/")[2]
