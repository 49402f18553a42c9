"""The http node, on a web service that does as it is told."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline_runtime.nodes.http import Params
from pipeline_runtime.outside.http_patience import LONGEST_PAUSE_S, Patience
from pipeline_runtime.outside.url_template import filled
from tests.unit.engine_desk import Desk, Written, desk, until_acknowledged

IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "t/{line}"}
OUT: Written = {"id": "out", "type": "mqtt_pub", "topic": "t/out/x", "inputs": ["call"]}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


def says(status: int, body: bytes = b"", *headers: str) -> bytes:
    """An answer."""
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Service:
    """Gives its answers one after the other, the last one for ever; None: it hangs, b"": it hangs up."""

    answers: Sequence[bytes | None]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    together: asyncio.Barrier | None = None  # answers wait until so many have asked

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(Asked(head[0], headers, body))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.together:
            await self.together.wait()
        if answer is None:
            await reader.read()  # until the other side gives up
        else:
            writer.write(answer)
        self.at_once -= 1
        writer.close()


@asynccontextmanager
async def service(*answers: bytes | None, together: int = 0) -> AsyncIterator[Service]:
    """A web service on this machine for the length of the block."""
    made = Service(answers, together=asyncio.Barrier(together) if together else None)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


def call(url: str, **params: object) -> list[Written]:
    """A pipeline that calls and publishes the answer."""
    return [IN, {"id": "call", "type": "http", "url": url, "inputs": ["in"], "backoff": 0.001, **params}, OUT]


def answers_of(on: Desk) -> list[object]:
    """What the pipeline published."""
    return on.bodies("t/out/x")


def failures(on: Desk) -> list[str]:
    """Why messages failed at the http node."""
    assert all(node == "call" for node, _ in on.letters())
    return [str(error) for _, error in on.letters()]


async def test_the_value_is_sent_and_the_answer_is_the_result() -> None:
    """As JSON both ways, with the node's headers, to the address that topic and value fill in."""
    async with service(says(200, b'{"order": [7, null]}')) as there:
        nodes = call(
            f"{there.url}/lines/{{line}}/order?id={{part.id}}&all=1", headers={"Authorization": "Bearer x", "x-a": "b"}
        )
        async with desk(nodes) as on:
            await on.answered({"part": {"id": "a/b ü&?#%"}, "n": 1.5}, "t/press 4")
            assert answers_of(on) == [{"order": [7, None]}]
    (asked,) = there.asked
    assert asked.line == "POST /lines/press%204/order?id=a%2Fb%20%C3%BC%26%3F%23%25&all=1 HTTP/1.1"
    assert json.loads(asked.body) == {"part": {"id": "a/b ü&?#%"}, "n": 1.5}
    wanted = {
        "content-type": "application/json",
        "authorization": "Bearer x",
        "x-a": "b",
        "accept-encoding": "identity",
    }
    assert wanted.items() <= asked.headers.items()


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("DELETE", b""), ("PUT", b"1"), ("PATCH", b"1")])
async def test_methods_send_what_they_are_for(method: str, body: bytes) -> None:
    """GET and DELETE send no body, the others the value; an empty answer is null."""
    async with service(says(204)) as there, desk(call(there.url, method=method)) as on:
        await on.answered(1, "t/a")
        assert answers_of(on) == [None]
    assert (there.asked[0].line.split()[0], there.asked[0].body) == (method, body)


async def test_calls_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An address may hold a key; and a pipeline calls often."""
    caplog.set_level("INFO")
    async with service(says(200, b"5")) as there, desk(call(f"{there.url}?key=s3")) as on:
        await on.answered(1, "t/a")
        assert answers_of(on) == [5]
    assert "s3" not in caplog.text


async def test_an_answer_may_be_text() -> None:
    """With `answer: text` nothing is parsed."""
    async with service(says(200, "grün".encode())) as there, desk(call(there.url, answer="text")) as on:
        await on.answered(1, "t/a")
        assert answers_of(on) == ["grün"]


@pytest.mark.parametrize("trouble", [says(429), says(502), says(503), says(504), b"", b"HTTP/1.1 200 OK\r\nCont"])
async def test_what_may_pass_is_tried_again(trouble: bytes) -> None:
    """A busy service, one behind a broken gateway, a connection that breaks: two retries, and the answer is there."""
    async with service(trouble, trouble, says(200, b"5")) as there, desk(call(there.url, retries=2)) as on:
        await on.answered(1, "t/a")
        assert answers_of(on) == [5]
        assert len(there.asked) == 3


async def test_what_does_not_pass_fails_in_the_end() -> None:
    """The dead letter tells the last answer, and that it was not the first."""
    async with service(says(503, b"out of\norder")) as there, desk(call(f"{there.url}/a?key=s3", retries=2)) as on:
        await on.answered(1, "t/a")
        assert failures(on) == [f"POST {there.url}/a: it answered 503: out of order, also at the third time"]
        assert len(there.asked) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 404, 409, 500, 501])
async def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    """Another call would be answered the same; nor is a redirection followed to where nobody said."""
    async with service(says(status, b"no", "Location: /b"), says(200, b"1")) as there, desk(call(there.url)) as on:
        await on.answered(1, "t/a")
        assert failures(on) == [f"POST {there.url}: it answered {status}: no"]
        assert len(there.asked) == 1


async def test_nobody_there_is_told() -> None:
    """A service that does not listen is tried again too, and named."""
    async with service() as gone:
        pass
    async with desk(call(gone.url, retries=1)) as on:
        await on.answered(1, "t/a")
        (failure,) = failures(on)
        assert failure.startswith(f"POST {gone.url}: ")
        assert failure.endswith(", also at the second time")


async def test_a_service_that_hangs_is_given_up() -> None:
    """After the timeout the message fails; the next is answered."""
    async with service(None, says(200, b"5")) as there, desk(call(there.url, timeout_s=0.2)) as on:
        await on.answered(1, "t/a")
        assert failures(on) == [f"POST {there.url}: no answer within 0.2 s"]
        await on.load(call(there.url), version=2)
        await on.answered(1, "t/a")
        assert answers_of(on) == [5]


@pytest.mark.parametrize("length", ["Content-Length: 100001", "X-Length: unknown"])
async def test_an_answer_that_is_too_large_is_not_read_to_its_end(length: str) -> None:
    """It fails at the bound, whether or not it said how large it is."""
    endless = f"HTTP/1.1 200 OK\r\n{length}\r\nConnection: close\r\n\r\n".encode() + b"x" * 100_001
    async with service(endless) as there, desk(call(there.url, max_bytes=100_000)) as on:
        await on.answered(1, "t/a")
        assert failures(on) == [f"POST {there.url}: the answer has more than 100000 bytes (`max_bytes`)"]


@pytest.mark.parametrize("answer", [b"<html>", b"NaN", b"[" * 3000])
async def test_an_answer_that_is_no_json_fails_its_message(answer: bytes) -> None:
    """And only that one."""
    async with service(says(200, answer), says(200, b"5")) as there, desk(call(there.url)) as on:
        await on.answered(1, "t/a")
        (failure,) = failures(on)
        assert failure.startswith(f"POST {there.url} answered what cannot be read: the payload is no JSON")
        await on.answered(1, "t/a")
        assert answers_of(on) == [5]


async def test_so_many_calls_are_made_at_once_and_no_more() -> None:
    """Two at a time: the service answers only when two have asked, and never sees three."""
    async with service(says(200, b"5"), together=2) as there, desk(call(there.url, concurrency=2)) as on:
        letters = [on.hand_in(number, "t/a") for number in range(6)]
        await until_acknowledged(letters)
        assert answers_of(on) == [5] * 6
    assert there.most_at_once == 2


@pytest.mark.parametrize("value", [{}, {"id": ""}, {"id": ".."}, {"id": None}, {"id": True}, {"id": ["a"]}, 3])
async def test_what_can_be_no_part_of_an_address_fails_its_message(value: object) -> None:
    """Nothing is called."""
    async with service(says(200, b"5")) as there, desk(call(f"{there.url}/{{id}}/x")) as on:
        await on.answered(value, "t/a")
        assert len(failures(on)) == 1
    assert there.asked == []


@given(text=st.text(min_size=1).filter(lambda text: text not in {".", ".."}))
def test_no_value_leaves_its_place_in_the_address(text: str) -> None:
    """Whatever a value holds, it adds no part, no query and no host."""
    url = filled("http://mes.example/{a}/x?q={b}", {"b": text}, {"a": text})
    assert (url.count("/"), url.count("?"), url.count("&"), url.count("#")) == (4, 1, 0, 0)
    assert url.startswith("http://mes.example/")
    assert url.isascii()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "mes.example/orders"},
        {"url": "ftp://mes.example"},
        {"url": "http://{host}/orders"},
        {"url": "http://mes.example:{port}/orders"},
        {"url": "http://me:secret@mes.example"},
        {"url": "http://mes.example:99999"},
        {"url": "http://mes.example/a b"},
        {"url": "http://mes.example/{a b}"},
        {"url": "http://mes.example/a#b"},
        {"headers": {"Host": "other"}},
        {"headers": {"X-A": "a\r\nX-B: b"}},
        {"headers": {"X A": "a"}},
        {"method": "CONNECT"},
        {"timeout_s": 0},
        {"retries": 100},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    """Before anything runs."""
    with pytest.raises(ValidationError):
        Params.model_validate({"url": "http://mes.example/orders"} | wrong)


@given(retries=st.integers(1, 20), backoff_s=st.floats(0.001, 1000), asked_s=st.floats(0, 1e9))
def test_pauses_grow_up_to_a_minute(retries: int, backoff_s: float, asked_s: float) -> None:
    """Each is at least as long as the one before, and as what the service asks for, but never longer than a minute."""
    patience = Patience(timeout_s=1, retries=retries, backoff_s=backoff_s)
    pauses = [patience.pause_s(tried) for tried in range(retries)]
    assert all(earlier <= later <= LONGEST_PAUSE_S for earlier, later in pairwise(pauses))
    assert patience.pause_s(0, asked_s) == min(max(backoff_s, asked_s), LONGEST_PAUSE_S)


async def test_a_service_may_say_when_it_will_be_back() -> None:
    """Retry-After is kept to: with a minute asked for, no second call is made meanwhile."""
    async with service(says(429, b"", "Retry-After: 60"), says(200, b"5")) as there:
        on = Desk()
        await on.load(call(there.url))
        letter = on.hand_in(1, "t/a")
        async with asyncio.timeout(10):
            while not there.asked or there.at_once:  # noqa: ASYNC110 - the service is not told when its answer is read
                await asyncio.sleep(0.01)
        await on.engine.drain(0.1)
        assert (len(there.asked), letter.acknowledged.is_set()) == (1, False)


def test_who_only_checks_pipelines_loads_no_http_client() -> None:
    """The controller knows the node type without httpx."""
    program = "import sys, pipeline_runtime.builtin as b; b.builtin_types(); sys.exit('httpx' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
