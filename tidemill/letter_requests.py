"""The requests about dead letters."""

from schemas.payload_text import as_text
from schemas.pipeline_views import DeadLetterContent, DeadLetterView
from tidemill.asking import Asking, path_of, read_as


class LetterRequests(Asking):
    """One method for each request; see ``Client``."""

    def dead_letters(self, pipeline: str) -> list[DeadLetterView]:
        """The messages that a pipeline could not answer, as far as they are kept, newest first."""
        return list(self._all(path_of("pipelines", pipeline, "dead-letters"), DeadLetterView))

    def dead_letter(self, pipeline: str, number: int) -> DeadLetterContent:
        """One of them, with its payload."""
        return self._one(_path(pipeline, number), DeadLetterContent)

    def retry_dead_letter(self, pipeline: str, number: int, payload: bytes | None = None) -> DeadLetterView:
        """Have a message published again on its topic, with another payload if one is given.

        Raises:
            BadInput: only a part of the message is kept, and no payload was given.
        """
        path = f"{_path(pipeline, number)}/retry"
        if payload is None:
            return read_as(DeadLetterView, self._exchange.send("POST", path))
        text, encoding = as_text(payload)
        document = {"payload": text, "encoding": encoding}
        return read_as(DeadLetterView, self._exchange.send("POST", path, document=document))

    def drop_dead_letter(self, pipeline: str, number: int) -> None:
        """Forget one of them."""
        self._exchange.send("DELETE", _path(pipeline, number))

    def drop_dead_letters(self, pipeline: str) -> None:
        """Forget all of them."""
        self._exchange.send("DELETE", path_of("pipelines", pipeline, "dead-letters"))


def _path(pipeline: str, number: int) -> str:
    return path_of("pipelines", pipeline, "dead-letters", str(number))
