"""Which edge does a run next. Pure.

An edge that a job names is waited for; among edges with the job's labels the least loaded one is taken that is there,
can do it and has room. Runs come one after the other, the most urgent first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from controller.runs.steps import Run
from schemas.jobs import JobSpec
from schemas.report import Capabilities

MEGABYTE = 1024 * 1024
REASONS_SHOWN = 5  # of edges that could not take a run


@dataclass(frozen=True, slots=True)
class Place:
    """An edge as placement sees it."""

    name: str
    labels: Mapping[str, str]  # the controller's own
    absence: str = ""  # why nothing can be given to it now, to be read behind its name
    silent_s: float = 0.0  # since it was heard; the broker may not know yet, or never learn, that it is away
    capabilities: Capabilities | None = None
    load: float = 0.0  # per cpu
    tasks: frozenset[tuple[UUID, int]] = frozenset()  # the attempts that it has

    def absence_for(self, job: JobSpec) -> str:
        """Why nothing of a job can be given to it, or is known of what it has; empty if it is there."""
        if not self.absence and self.silent_s > job.silence.lost_after:
            return f"was not heard of for over {job.silence.lost_after:g} s"
        return self.absence


class Placement:
    """The edges and what they are busy with, while runs are placed on them."""

    def __init__(self, places: Iterable[Place], busy: Iterable[tuple[str, str]]) -> None:
        """Look at all edges that may be chosen, and at the (edge, job) of each task that uses one."""
        self._places = {place.name: place for place in places}
        self._busy: dict[str, list[str]] = {name: [] for name in self._places}
        self._full: dict[object, str] = {}  # what was asked for in vain, and why: room only gets less
        for edge, job in busy:
            self.take(edge, job)

    def take(self, edge: str, job: str) -> None:
        """Count one more task on an edge."""
        self._busy.setdefault(edge, []).append(job)

    def place(self, edge: str) -> Place | None:
        """An edge; None if it is not enrolled."""
        return self._places.get(edge)

    def choose(self, run: Run) -> str:
        """The edge that does the run's next attempt.

        Raises:
            LookupError: there is none now; the text says which edges fit, and why none can take it.
        """
        job, limits = run.job, run.job.limits
        place = job.edge or tuple(sorted((job.edge_labels or {}).items()))
        asked = place, job.executor, limits.cpus, limits.memory_mb, limits.gpus, job.silence.lost_after
        if asked in self._full:
            raise LookupError(self._full[asked])
        try:
            return self._named(job, job.edge) if job.edge is not None else self._least_loaded(run)
        except LookupError as error:
            self._full[asked] = str(error.args[0])
            raise

    def _named(self, job: JobSpec, edge: str) -> str:
        place = self._places.get(edge)
        if place is None:
            raise LookupError(f"there is no edge {edge!r}; `tidemill edge add {edge}` enrols one")
        if lack := self._lack(place, job):
            raise LookupError(f"{edge} {lack}")
        return edge

    def _least_loaded(self, run: Run) -> str:
        labels = (run.job.edge_labels or {}).items()
        fitting = [place for place in self._places.values() if labels <= place.labels.items()]
        lacks = {place.name: self._lack(place, run.job) for place in fitting}
        free = [place for place in fitting if not lacks[place.name]]
        if not free:
            raise LookupError(_why_none(labels, lacks))
        failed_on = run.edge if run.attempt else ""  # somewhere else is the better guess
        return min(free, key=lambda place: (place.name == failed_on, *self._share(place))).name

    def _share(self, place: Place) -> tuple[float, float, str]:
        """How loaded an edge is: by its tasks, then by its processors; then by name, so that equals have an order."""
        slots = place.capabilities.max_tasks if place.capabilities else 1
        return len(self._busy[place.name]) / slots, place.load, place.name

    def _lack(self, place: Place, job: JobSpec) -> str:
        """Why an edge cannot take the job now, to be read behind its name; empty if it can."""
        can = place.capabilities
        if (absence := place.absence_for(job)) or can is None:
            return absence or "has not told what it can do"
        if lack := _lack_of_means(can, job):
            return lack
        busy = self._busy[place.name]
        if len(busy) >= can.max_tasks:
            return f"is busy with {len(busy)} of {can.max_tasks} tasks: {', '.join(sorted(set(busy)))}"
        return ""


def _lack_of_means(can: Capabilities, job: JobSpec) -> str:
    limits = job.limits
    if job.executor is not None and job.executor not in can.executors:
        return f"has no {job.executor}"
    if limits.cpus is not None and limits.cpus > can.cpus:
        return f"has {can.cpus} cpus, and {limits.cpus:g} are asked for"
    if limits.memory_mb is not None and limits.memory_mb * MEGABYTE > can.memory_bytes:
        return f"has {can.memory_bytes // MEGABYTE} MB of memory, and {limits.memory_mb} are asked for"
    if limits.gpus > can.gpus:
        return f"has {can.gpus} gpus, and {limits.gpus} are asked for"
    return ""


def _why_none(labels: Iterable[tuple[str, str]], lacks: Mapping[str, str]) -> str:
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(labels))
    if not lacks:
        return f"no edge has {wanted}" if wanted else "there is no edge yet; `tidemill edge add` enrols one"
    number, have = ("1 edge", "has") if len(lacks) == 1 else (f"{len(lacks)} edges", "have")
    told = [f"{name} {lack}" for name, lack in sorted(lacks.items())]
    more = f", and {len(told) - REASONS_SHOWN} more" if len(told) > REASONS_SHOWN else ""
    which = f"{number} {have} {wanted}" if wanted else f"{number} to choose from"
    return f"{which}: {', '.join(told[:REASONS_SHOWN])}{more}"
