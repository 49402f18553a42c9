"""The library node: calls a user's `exec` with its input."""

import asyncio
from collections.abc import Awaitable

from pipeline_runtime.library_module import FOREIGN, Library, describe
from pipeline_runtime.node_type import Fittings, Links, Node, NodeParams, NodeType
from pipeline_runtime.payloads import decode, encode
from pipeline_runtime.run import Run
from schemas.errors import BadPayload
from schemas.names import Duration, LibraryName


class Params(NodeParams):
    """Which library."""

    library: LibraryName
    timeout_s: Duration = 30.0  # of an async exec; a plain one holds up the whole pipeline for as long as it runs

    def links(self) -> Links:
        """The library it calls."""
        return Links(library=self.library)


class LibraryNode(Node):
    """Calls ``exec`` with a copy of the input, so that what it changes changes nothing else."""

    def __init__(self, params: Params, fittings: Fittings) -> None:
        self._library: Library = fittings.libraries[params.library]
        self._timeout_s = params.timeout_s

    def resolve(self, value: object, _run: Run, /) -> object | Awaitable[object]:
        """What ``exec`` returns, as JSON has it; an async ``exec`` is waited for."""
        try:
            result = self._library.exec(decode(encode(value)))
        except FOREIGN as error:
            raise self._failure(error) from error
        return self._wait(result) if isinstance(result, Awaitable) else decode(encode(result))

    async def _wait(self, result: Awaitable[object]) -> object:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                answer = await result
        except (Exception, SystemExit) as error:  # a cancelled run must stay cancelled
            if limit.expired():
                raise BadPayload(f"{self._library.name} gave no answer within {self._timeout_s:g} s") from error
            raise self._failure(error) from error
        return decode(encode(answer))

    def _failure(self, error: BaseException) -> BadPayload:
        return BadPayload(f"{self._library.name}: {describe(error, self._library.path)}")


NODE = NodeType(
    name="library",
    params=Params,
    make=LibraryNode,
    doc="Calls the function `exec` of an uploaded Python file with its input.",
    example="{id: answer, type: library, library: pipelib_flower, inputs: [predict]}",
)
