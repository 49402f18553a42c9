"""Runs a recording through one pipeline, or through two side by side."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from pipeline_runtime.compiling.plan import Plan
from schemas.errors import BadInput
from schemas.topics import matches
from tidemill.replay.answers import Outcome
from tidemill.replay.player import Numbered, Player, Prepared
from tidemill.replay.recording import Recorded

REACHING_OUT = frozenset({"collect", "http"})
"""Node types whose work is felt outside: a replay would do it again."""


@dataclass(slots=True)
class PassedOver:
    """Messages of a recording that no mqtt_sub of any of the pipelines listens for."""

    messages: int = 0
    topic: str = ""  # of the first

    def add(self, topic: str) -> None:
        """One more."""
        self.messages += 1
        self.topic = self.topic or topic


class Pace:
    """How fast messages follow each other."""

    def __init__(self, speed: float | None) -> None:
        """``speed`` times as fast as they were recorded; None: each as soon as the one before is done with."""
        self._speed = speed
        self._first: datetime | None = None
        self._began = 0.0

    async def until(self, moment: datetime) -> None:
        """Return when a message that was recorded at that moment is due."""
        loop = asyncio.get_running_loop()
        if self._first is None:
            self._first, self._began = moment, loop.time()
        if self._speed is not None:
            due = self._began + (moment - self._first).total_seconds() / self._speed
            await asyncio.sleep(max(0.0, due - loop.time()))


async def replay(
    pipelines: Sequence[Prepared],
    read: Callable[[], Iterator[Recorded]],
    pace: Pace,
    take: Callable[[tuple[Outcome, ...]], None],
) -> PassedOver:
    """Give each message to each pipeline, one after the other; returns what none of them has a use for.

    Args:
        pipelines: each with what it needs.
        read: begins to read the recording; also once for each pipeline whose nodes in the middle wait for messages.
        pace: how fast.
        take: gets what each made of a message that begins a run of at least one of them.
    """
    passed_over = PassedOver()
    waited_for = [topic_filter for pipeline in pipelines for topic_filter in inner_filters(pipeline.plan)]
    async with AsyncExitStack() as stack:
        players = [
            await stack.enter_async_context(Player.playing(pipeline, _replies(pipeline.plan, read)))
            for pipeline in pipelines
        ]
        for message in _numbered(read()):
            await pace.until(message.recorded.at)
            found = [await player.play(message) for player in players]
            if any(found):
                nothing = Outcome(number=message.number, topic=message.recorded.topic)
                take(tuple(outcome or nothing for outcome in found))
            elif not any(matches(topic_filter, message.recorded.topic) for topic_filter in waited_for):
                passed_over.add(message.recorded.topic)
    return passed_over


def inner_filters(plan: Plan) -> list[str]:
    """What the nodes in the middle listen to, which wait for replies."""
    return [topic_filter for node, topic_filter in plan.filters.items() if node not in plan.roots]


def refuse_effects(plan: Plan) -> None:
    """Raise BadInput if the pipeline does something that is felt outside of it."""
    found = [f"{step.id} ({step.type.name})" for step in plan.steps if step.type.name in REACHING_OUT]
    if found:
        raise BadInput(
            f"pipeline {plan.name!r} reaches out with {', '.join(found)}: what is tried here would be felt there; "
            "--allow-effects lets it"
        )


def _numbered(messages: Iterable[Recorded]) -> Iterator[Numbered]:
    return (Numbered(number, recorded) for number, recorded in enumerate(messages, 1))


def _replies(plan: Plan, read: Callable[[], Iterator[Recorded]]) -> list[Numbered]:
    """The messages that nodes in the middle may wait for."""
    filters = inner_filters(plan)
    if not filters:
        return []
    return [one for one in _numbered(read()) if any(matches(wanted, one.recorded.topic) for wanted in filters)]
