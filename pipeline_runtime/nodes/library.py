"""The library node: calls a user's `exec` with its input."""

import logging
from collections.abc import Awaitable
from copy import deepcopy
from functools import partial
from types import CoroutineType

from pydantic import Field

from pipeline_runtime.libraries.library_calls import LibraryCalls
from pipeline_runtime.libraries.library_context import Context
from pipeline_runtime.libraries.library_module import FOREIGN, Library
from pipeline_runtime.libraries.library_values import IMMUTABLE, copied
from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from pipeline_runtime.running.run import Run
from schemas.errors import BadInput, BadPayload
from schemas.names import Duration, LibraryName

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S, CLOSE_TIMEOUT_S = 60.0, 10.0
_NO_AWAITABLES = IMMUTABLE | {dict, list}
_AWAITABLES = (CoroutineType, Awaitable)  # it takes longer to find out that a coroutine is of the second kind


class Params(NodeParams):
    """Which library, and how it is called."""

    library: LibraryName = Field(description="The library's name, `pipelib_…`.")
    timeout_s: Duration = Field(
        default=30.0, description="How long an async `exec`, or one in a thread, may take for a message."
    )
    thread: bool = Field(
        default=False,
        description="Call a plain `exec` in a thread of its own, so that it holds up nothing while it waits.",
    )
    params: dict[str, object] = Field(default={}, description="What `exec` finds in `context.params`.")

    def links(self) -> Links:
        """The library it calls."""
        return Links(library=self.library)


class LibraryNode(Node):
    """Calls ``exec`` with a copy of the input, so that what it changes changes nothing else."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        """Call nothing yet. Raises BadInput for an async ``exec`` that is to have a thread."""
        self._library: Library = fittings.libraries[params.library]
        name = self._library.name
        if params.thread and self._library.is_async:
            raise BadInput(f"{name} has an async `exec`, which needs no thread: leave `thread: true` out")
        self._exec, self._takes_context = self._library.exec, self._library.takes_context
        self._timeout_s, self._thread = params.timeout_s, params.thread
        self._calls = LibraryCalls(self._library, f"{fittings.pipeline}.{fittings.node}", params.timeout_s)
        notes = logging.LoggerAdapter(logging.getLogger(name), {"library": name, "node": fittings.node})
        self._context = Context(fittings.pipeline, fittings.node, deepcopy(params.params), notes, state={})
        self._is_open = False

    async def open(self) -> None:
        """Call the library's ``open``. Raises BadInput when it fails or takes too long."""
        try:
            await self._calls.hook(self._library.open, self._context, OPEN_TIMEOUT_S)
        except BadPayload as error:
            raise BadInput(f"`open` of {error}") from error
        self._is_open = True

    async def close(self) -> None:
        """Call the library's ``close``, if ``open`` went well; what goes wrong is only logged."""
        try:
            if self._is_open:
                await self._calls.hook(self._library.close, self._context, CLOSE_TIMEOUT_S)
        except BadPayload as error:
            log.warning("library not closed", extra={"node": self._context.node, "reason": f"`close` of {error}"})
        finally:
            self._is_open = False
            self._calls.close()

    def resolve(self, value: object, run: Run, /) -> object | Awaitable[object]:
        """What ``exec`` returns, in JSON's types; an async ``exec`` and one in a thread are waited for."""
        if self._thread:
            return self._calls.in_thread(partial(self._answer, value, run), self._timeout_s)
        result = self._call(value, run)
        if type(result) not in _NO_AWAITABLES and isinstance(result, _AWAITABLES):
            return self._calls.begun(result)
        return self._calls.result(result)

    def _call(self, value: object, run: Run) -> object:
        given = copied(value)
        try:
            return self._exec(given, self._context_of(run)) if self._takes_context else self._exec(given)
        except FOREIGN as error:
            raise self._calls.failure(error) from error

    def _context_of(self, run: Run) -> Context:
        pipeline, node, params, notes, state, _, _ = self._context
        return Context(pipeline, node, params, notes, state, run.message.topic, dict(run.values))

    def _answer(self, value: object, run: Run) -> object:
        return self._calls.result(self._call(value, run))


NODE = NodeType(
    name="library",
    params=Params,
    make=LibraryNode,
    doc="Calls the function `exec` of an uploaded Python file with its input.",
    example="{id: answer, type: library, library: pipelib_flower, inputs: [predict]}",
)
