"""The http node: asks a web service."""

import re
from collections.abc import Awaitable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline_runtime.node_type import Fittings, Node, NodeParams, NodeType
from pipeline_runtime.outside.http_patience import Patience
from pipeline_runtime.outside.url_template import check_url, filled
from pipeline_runtime.running.run import Run
from pipeline_runtime.values.formats import codec
from pipeline_runtime.values.payloads import encode
from schemas.names import Duration

_WITHOUT_BODY = frozenset({"GET", "DELETE"})
_OURS = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})


def _header(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or name.lower() in _OURS:
            raise ValueError(f"{name!r} is no header that can be set")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"the value of {name} holds something else than printable ASCII characters")
    return headers


class Params(NodeParams):
    """Which service, and how patiently it is asked."""

    url: Annotated[
        str,
        AfterValidator(check_url),
        Field(
            max_length=2000,
            description="Where to; `{name}` stands for a named level of the message's topic, or a field of the input.",
        ),
    ]
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        Field(description="The input is sent as JSON, but for GET and DELETE, which send none."),
    ] = "POST"
    headers: Annotated[
        dict[str, str], AfterValidator(_header), Field(description="Sent with each call; they stand in the document.")
    ] = {}
    answer: Annotated[Literal["json", "text"], Field(description="How the answer is read; an empty one is null.")] = (
        "json"
    )
    timeout_s: Annotated[Duration, Field(description="How long a call may take, with its answer.")] = 10.0
    retries: Annotated[
        int,
        Field(ge=0, le=20, description="How often it is called again when it cannot be reached, or is busy."),
    ] = 3
    backoff: Annotated[
        Duration, Field(description="The pause before the first of them, then twice that and so on, a minute at most.")
    ] = 0.5
    concurrency: Annotated[int, Field(ge=1, le=1000, description="How many calls are made at once.")] = 8
    max_bytes: Annotated[
        int, Field(ge=1, le=64 * 2**20, description="How large an answer may be.")
    ] = 2**20  # fmt: skip


class Http(Node):
    """Sends its input, and gives the answer."""

    def __init__(self, params: Params, fittings: Fittings) -> None:  # noqa: ARG002 - as every node is made
        from pipeline_runtime.outside.http_calls import HttpCalls, Request  # noqa: PLC0415 - the controller makes no calls

        self._params, self._request = params, Request
        self._has_body = params.method not in _WITHOUT_BODY
        headers = {"Content-Type": "application/json"} if self._has_body else {}
        headers |= {name.title(): value for name, value in params.headers.items()}
        patience = Patience(params.timeout_s, params.retries, params.backoff)
        self._calls = HttpCalls(headers, patience, at_once=params.concurrency, max_bytes=params.max_bytes)
        self._read = codec(params.answer).decode

    async def open(self) -> None:
        """Make the client."""
        await self._calls.open()

    async def close(self) -> None:
        """Close its connections."""
        await self._calls.close()

    def resolve(self, value: object, run: Run, /) -> Awaitable[object]:
        """Call, and wait for the answer."""
        params = self._params
        url = filled(params.url, value, run.values)
        request = self._request(params.method, url, encode(value) if self._has_body else None)
        return self._calls.answer(request, self._decode)

    def _decode(self, payload: bytes) -> object:
        return self._read(payload) if payload else None


NODE = NodeType(
    name="http",
    params=Params,
    make=Http,
    doc="Sends its input to a web service; its result is the answer.",
    example='{id: order, type: http, url: "https://mes.example/lines/{line}/order", method: GET, inputs: [in]}',
)
