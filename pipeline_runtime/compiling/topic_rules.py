"""Which topics of one pipeline get in each other's way."""

from collections.abc import Iterable, Iterator
from itertools import combinations

from pipeline_runtime.compiling.plan import Step
from pipeline_runtime.compiling.problems import Finding
from schemas.topics import matches, overlap


def topic_clashes(steps: Iterable[Step], dead_letters: str) -> Iterator[Finding]:
    """Find filters that take the same message twice, and answers that would come back as questions for ever."""
    subscribers = [(step, step.links.subscribes) for step in steps if step.links.subscribes]
    for (step, topic_filter), (other, other_filter) in combinations(subscribers, 2):
        if overlap(topic_filter, other_filter):
            message = f"{other_filter!r} takes messages that {step.id!r} takes with {topic_filter!r}; subscribe once"
            yield Finding(other.id, "topic", message)
    for step, topic_filter in subscribers:
        if matches(topic_filter, dead_letters):
            yield Finding(step.id, "topic", f"{topic_filter!r} takes the pipeline's own dead letters, {dead_letters!r}")
        for other in steps:
            topic = other.links.publishes
            if topic and overlap(topic_filter, topic):
                message = f"publishes on {topic!r}, which {step.id!r} takes: the pipeline would answer itself for ever"
                yield Finding(other.id, "topic", message)
