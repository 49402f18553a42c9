"""What becomes of a message that a pipeline could not answer."""

from datetime import UTC, datetime

from pipeline_runtime.broker import Publication
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.payloads import encode
from schemas.payload_text import as_text

MAX_LETTER_BYTES = 900_000  # links and brokers take a little more
SHORTENED_BYTES = 100_000  # of a payload that makes the letter too large; escaped as JSON they may be six times that
MAX_ERROR_CHARACTERS = 2_000


def dead_letter(run: Run) -> Publication:
    """The message of a failed run with what went wrong, ready to be published."""
    failure = run.failure
    return letter_of(run, failure.node if failure else run.lane.root_id, failure.reason if failure else "")


def letter_of(run: Run, node: str, reason: str) -> Publication:
    """A run's message with why it is put aside, and by which node."""
    payload = run.message.payload
    letter = _letter(run, node, reason, payload)
    if len(letter) > MAX_LETTER_BYTES:
        letter = _letter(run, node, reason, payload[:SHORTENED_BYTES])
    return Publication(run.lane.dead_letters, letter)


def _letter(run: Run, node: str, reason: str, payload: bytes) -> bytes:
    text, encoding = as_text(payload)
    return encode(
        {
            "payload": text,
            "encoding": encoding,
            "truncated": len(payload) < len(run.message.payload),
            "topic": run.message.topic,
            "node": node,
            "error": reason[:MAX_ERROR_CHARACTERS],
            "at": datetime.now(UTC).isoformat(),
            "pipeline": run.lane.loaded.plan.name,
            "version": run.lane.loaded.version,
        }
    )
