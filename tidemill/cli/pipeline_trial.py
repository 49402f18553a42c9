"""`tidemill pipeline test`: one message through a pipeline, node by node."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline_runtime.compiling.plan import Plan
from pipeline_runtime.node_type import SKIPPED, Branches
from pipeline_runtime.values.payloads import decode, encode
from schemas.errors import BadInput, BadPayload, NotFound
from schemas.topics import check_topic, matches
from tidemill.cli.output import print_json, print_table
from tidemill.cli.pipeline_side import Side
from tidemill.replay.answers import Outcome
from tidemill.replay.player import Numbered, Player
from tidemill.replay.recording import Recorded
from tidemill.replay.replaying import inner_filters
from tidemill.replay.value_differences import decoded

__all__ = ["Given", "Side", "try_message"]

NOT_REACHED = "-"


@dataclass(frozen=True, slots=True)
class Given:
    """The message, as a person named it."""

    file: str  # - is standard input
    topic: str | None
    replies: tuple[str, ...]  # topic=file


async def try_message(side: Side, given: Given, *, allow_effects: bool, as_json: bool) -> None:
    """Print each node's result and what would be published.

    Raises:
        BadPayload: the message failed; names the node.
        BadInput: the pipeline, or what it needs, is wrong.
        NotFound: there is no such file.
    """
    pipeline = side.prepare(allow_effects=allow_effects)
    message = _recorded(_topic(pipeline.plan, given.topic), given.file)
    replies = [Numbered(number, _reply(pipeline.plan, text)) for number, text in enumerate(given.replies, 2)]
    async with Player.playing(pipeline, replies) as player:
        outcome = await player.play(Numbered(1, message))
    if outcome is None:
        raise BadInput(f"no node of {pipeline.plan.name!r} takes messages on {message.topic!r}")
    shown = {step.id: _shown(player.results[step.id]) for step in pipeline.plan.steps if step.id in player.results}
    (_print_document if as_json else _print_tables)(pipeline.plan, shown, outcome)
    if outcome.failure is not None:
        raise BadPayload(f"the message fails at node {outcome.failure.node!r}: {outcome.failure.reason}")


def _topic(plan: Plan, topic: str | None) -> str:
    """What the message comes on: what was said, or the only root's filter where it is a topic."""
    filters = [plan.filters[root] for root in plan.roots if root in plan.filters]
    if topic is None:
        try:
            (only,) = filters
            return check_topic(only)
        except ValueError as error:
            raise BadInput(
                f"say with --topic what the message comes on; the pipeline takes {_list(filters)}"
            ) from error
    if not any(matches(wanted, topic) for wanted in filters):
        raise BadInput(f"--topic {topic}: the pipeline takes {_list(filters)}")
    return topic


def _list(filters: list[str]) -> str:
    return ", ".join(filters)


def _reply(plan: Plan, text: str) -> Recorded:
    topic, equals, file = text.partition("=")
    if not equals:
        raise BadInput(f"--reply {text}: write TOPIC=FILE")
    filters = inner_filters(plan)
    if not any(matches(wanted, topic) for wanted in filters):
        listened_to = f"those that are there listen on {_list(filters)}" if filters else "none is there"
        raise BadInput(f"--reply {text}: no mqtt_sub with inputs waits for a message on {topic!r}; {listened_to}")
    return _recorded(topic, file)


def _recorded(topic: str, file: str) -> Recorded:
    try:
        payload = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {file}") from error
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    return Recorded.of(topic, payload, datetime.now(UTC), qos=1, retain=False)


def _shown(result: object) -> object:
    """A result as JSON has it; of what JSON has no form for, how Python writes it."""
    if isinstance(result, Branches):
        return {branch: _shown(value) for branch, value in result.values.items()}
    if result is SKIPPED:
        return "skipped"
    try:
        return decode(encode(result))
    except BadPayload:
        return repr(result)


def _print_document(_plan: Plan, shown: dict[str, object], outcome: Outcome) -> None:
    published = [{"topic": answer.topic, "payload": _payload(answer.message)} for answer in outcome.answers]
    failure = outcome.failure.model_dump() if outcome.failure else None
    print_json({"nodes": shown, "published": published, "failure": failure})


def _print_tables(plan: Plan, shown: dict[str, object], outcome: Outcome) -> None:
    rows = [[step.id, step.type.name, _line(shown, step.id)] for step in plan.steps]
    print_table(("NODE", "TYPE", "RESULT"), rows)
    if outcome.answers:
        rows = [[answer.topic, _text(_payload(answer.message))] for answer in outcome.answers]
        print_table(("PUBLISHES ON", "PAYLOAD"), rows)


def _line(shown: dict[str, object], node: str) -> str:
    return _text(shown[node]) if node in shown else NOT_REACHED


def _payload(message: bytes) -> object:
    value = decoded(message)
    return repr(value) if isinstance(value, bytes) else value


def _text(value: object) -> str:
    return encode(value).decode()
