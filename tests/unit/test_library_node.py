"""Library nodes: what is called, with what, from where, for how long; and what becomes of what comes back."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_runtime.builtin import builtin_types
from pipeline_runtime.compiling.graph import compile as compile_graph
from pipeline_runtime.libraries.library_module import Library
from pipeline_runtime.libraries.library_values import as_result, copied
from pipeline_runtime.node_type import Fittings
from pipeline_runtime.nodes import library as library_node
from pipeline_runtime.nodes.library import LibraryNode, Params
from pipeline_runtime.running.loading import load
from pipeline_runtime.running.run import Run
from schemas.errors import BadInput, BadPayload
from schemas.pipelines import PipelineSpec
from tests.unit.engine_desk import Desk, Letter, Written, until_acknowledged


def loaded(folder: Path, source: str) -> Library:
    """A library with this source."""
    path = folder / "pipelib_x.py"
    path.write_text(source)
    return Library("pipelib_x", path)


def node_of(library: Library, node: str = "x", **params: object) -> LibraryNode:
    """A node that calls it."""
    checked = Params.model_validate({"library": "pipelib_x", **params})
    return LibraryNode(checked, Fittings(node, {}, {"pipelib_x": library}, "p"))


IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "t/in"}


def out(*inputs: str) -> Written:
    """A node that publishes on t/out."""
    return {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": list(inputs)}


async def run_of(topic: str = "t/in", **values: str) -> Run:
    """A message's run; only what it tells of the message is used."""
    desk = Desk()
    await desk.load([IN, out("in")])
    run = Run(Letter(topic, b"1"), desk.engine._lanes["t/in"], desk.engine)
    run.values = values
    return run


async def answer(node: LibraryNode, value: object, run: Run | None = None) -> Any:
    """What the node gives, waited for if need be."""
    result = node.resolve(value, run or await run_of())
    async with asyncio.timeout(20):
        return await result if isinstance(result, Awaitable) else result


@asynccontextmanager
async def opened(node: LibraryNode) -> AsyncIterator[LibraryNode]:
    """The node for the length of the block."""
    await node.open()
    try:
        yield node
    finally:
        await node.close()


TELLS_ALL = """
def exec(value, context):
    return [value, context.pipeline, context.node, context.topic, context.values, context.params]
"""


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_a_library_is_told_where_a_call_comes_from(tmp_path: Path, prefix: str) -> None:
    """With a second argument, ``exec`` gets the pipeline, the node, its params, and the message's topic and levels."""
    node = node_of(loaded(tmp_path, TELLS_ALL.replace("def", f"{prefix}def")), params={"limit": 3})
    told = await answer(node, [1], await run_of("factory/7/read", line="7"))
    assert told == [[1], "p", "x", "factory/7/read", {"line": "7"}, {"limit": 3}]


@pytest.mark.parametrize(
    ("signature", "takes_context"),
    [
        ("value", False),
        ("value, context", True),
        ("value, other", True),
        ("value, context=None", True),
        ("value, factor=2", False),
        ("*values", False),
        ("value, *, context=None", False),
    ],
)
def test_who_gets_the_context(tmp_path: Path, signature: str, takes_context: bool) -> None:
    """A second argument that must be given, or that is called ``context``: others with a default are the author's."""
    assert loaded(tmp_path, f"def exec({signature}): ...").takes_context is takes_context


@pytest.mark.parametrize("signature", ["", "a, b, c", "value, *, context"])
def test_an_exec_that_cannot_be_called_is_refused(tmp_path: Path, signature: str) -> None:
    """What ``exec`` must take is told when the library is loaded, not with the first message."""
    with pytest.raises(BadInput, match="`exec` must take its input, or its input and the context"):
        loaded(tmp_path, f"def exec({signature}): ...")


async def test_the_context_cannot_be_changed_for_others(tmp_path: Path) -> None:
    """Nothing can be set on it, and what a call does to the topic's levels is gone with the next one."""
    source = "def exec(value, context):\n    context.values['line'] = '8'\n    context.node = value\n"
    node, run = node_of(loaded(tmp_path, source)), await run_of(line="7")
    with pytest.raises(BadPayload, match=r"pipelib_x: AttributeError: can't set attribute \(line 3\)"):
        await answer(node, 1, run)
    assert run.values == {"line": "7"}


COUNTS = """
def open(context):
    context.state["count"] = context.params["from"]

def exec(value, context):
    context.state["count"] += 1
    return context.state["count"]

def close(context):
    context.log.info("closed at %d", context.state["count"])
"""


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_each_node_opens_closes_and_remembers_for_itself(
    tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two nodes of one library have a state each, filled by ``open``, kept between messages and there in ``close``."""
    caplog.set_level(logging.INFO)
    library = loaded(tmp_path, COUNTS.replace("def", f"{prefix}def"))
    first, second = (node_of(library, name, params={"from": start}) for name, start in (("a", 10), ("b", 20)))
    async with opened(first), opened(second):
        assert [await answer(node, None) for node in (first, second, first)] == [11, 21, 12]
    said = {cast("Any", record).node: record.getMessage() for record in caplog.records if record.name == "pipelib_x"}
    assert said == {"a": "closed at 12", "b": "closed at 21"}


async def test_a_plain_open_holds_up_nobody(tmp_path: Path) -> None:
    """It is called in a thread: while it blocks, everything else goes on."""
    source = "def open(context):\n    context.params['gate'].wait(20)\n\ndef exec(value): ...\n"
    node, gate = node_of(loaded(tmp_path, source)), threading.Event()
    node._context = node._context._replace(params={"gate": gate})
    opening = asyncio.create_task(node.open())
    await asyncio.sleep(0)
    gate.set()  # would never be reached if the loop were held up
    await opening
    await node.close()


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_what_open_raises_is_told_and_what_close_raises_is_logged(
    tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that cannot be opened is not closed, and one that cannot be closed is gone all the same."""
    source = "def exec(value): ...\ndef open(context): 1 / context.params['by']\ndef close(context): exit(3)\n"
    library = loaded(
        tmp_path, source.replace("def open", f"{prefix}def open").replace("def close", f"{prefix}def close")
    )
    node = node_of(library, params={"by": 0})
    with pytest.raises(BadInput, match=r"`open` of pipelib_x: ZeroDivisionError: division by zero \(line 2\)"):
        await node.open()
    await node.close()
    assert not caplog.records
    async with opened(node_of(library, params={"by": 1})):
        pass
    assert "`close` of pipelib_x: SystemExit: 3 (line 3)" in cast("Any", caplog.records[0]).reason


@pytest.mark.parametrize("prefix", ["", "async "])
async def test_an_open_that_does_not_end_is_given_up(
    tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time the pipeline cannot be loaded, and says why."""
    monkeypatch.setattr(library_node, "OPEN_TIMEOUT_S", 0.05)
    wait = "await asyncio.sleep(60)" if prefix else "threading.Event().wait(60)"
    source = f"import asyncio, threading\ndef exec(value): ...\n{prefix}def open(context): {wait}\n"
    with pytest.raises(BadInput, match=r"`open` of pipelib_x gave no answer within 0\.05 s"):
        await node_of(loaded(tmp_path, source)).open()


def test_functions_from_elsewhere_are_no_open_and_no_close(tmp_path: Path) -> None:
    """A library may use gzip's ``open``; one from another module that takes a ``context`` is meant."""
    assert loaded(tmp_path, "from gzip import open\ndef exec(value): ...\n").open is None
    assert loaded(tmp_path, "from os import close\ndef exec(value): ...\n").close is None
    elsewhere = "def hook(context): ...\nhook.__module__ = 'other'\nopen = hook\ndef exec(value): ...\n"
    assert loaded(tmp_path, elsewhere).open is not None
    with pytest.raises(BadInput, match="`open` must take one argument, the context"):
        loaded(tmp_path, "def open(): ...\ndef exec(value): ...\n")


HANGS = """
import threading
begun, gate, calls = threading.Event(), threading.Event(), []

def exec(value):
    calls.append(value)
    if value == "hang":
        begun.set()
        gate.wait(20)
    return [value, threading.current_thread() is not threading.main_thread()]
"""


async def test_a_call_in_a_thread_that_takes_too_long_fails_its_message_only(tmp_path: Path) -> None:
    """With ``thread: true`` others pass meanwhile, the message fails in time, and the late answer is nobody's."""
    library = loaded(tmp_path, HANGS)
    async with opened(node_of(library, thread=True, timeout_s=0.2)) as node:
        hanging = node.resolve("hang", await run_of())
        assert isinstance(hanging, Awaitable)
        node._timeout_s = 20  # of those that follow
        passing = asyncio.create_task(answer(node, 1))
        with pytest.raises(BadPayload, match=r"pipelib_x gave no answer within 0\.2 s"):
            await hanging
        assert await passing == [1, True]
        library.exec.__globals__["gate"].set()
        assert await answer(node, 2) == [2, True]


async def test_calls_wait_for_a_thread_and_are_not_made_once_they_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When every thread is busy, a message that waits in vain says so, and its call is never made."""
    monkeypatch.setattr("pipeline_runtime.libraries.library_calls.MAX_THREADS", 1)
    library = loaded(tmp_path, HANGS)
    names: dict[str, Any] = library.exec.__globals__
    async with opened(node_of(library, thread=True, timeout_s=20)) as node:
        first = asyncio.create_task(answer(node, "hang"))
        assert await asyncio.to_thread(names["begun"].wait, 20)
        node._timeout_s = 0.05
        with pytest.raises(BadPayload, match=r"gave no answer within 0\.05 s: all of its 1 threads are busy"):
            await answer(node, "never")
        node._timeout_s = 20
        names["gate"].set()
        assert await first == ["hang", True]
        assert await answer(node, 2) == [2, True]
    assert names["calls"] == ["hang", 2]


async def test_errors_in_a_thread_name_the_line(tmp_path: Path) -> None:
    """What is raised there costs one message, also what would end a process."""
    async with opened(
        node_of(loaded(tmp_path, "def exec(value):\n    raise value or SystemExit\n"), thread=True)
    ) as node:
        with pytest.raises(BadPayload, match=r"pipelib_x: SystemExit:  \(line 2\)"):
            await answer(node, None)
        with pytest.raises(BadPayload, match=r"pipelib_x: TypeError: .* \(line 2\)"):
            await answer(node, 1)


async def test_an_async_exec_needs_no_thread(tmp_path: Path) -> None:
    """To ask for both is a mistake, and told when the pipeline is loaded."""
    library = loaded(tmp_path, "async def exec(value): ...")
    with pytest.raises(BadInput, match="has an async `exec`, which needs no thread"):
        node_of(library, thread=True)


async def test_an_async_exec_that_takes_too_long_is_cancelled(tmp_path: Path) -> None:
    """After ``timeout_s`` its message fails; its own TimeoutError is its own."""
    source = "import asyncio\nasync def exec(value):\n    await asyncio.sleep(value)\n    raise TimeoutError('mine')\n"
    node = node_of(loaded(tmp_path, source), timeout_s=0.05)
    with pytest.raises(BadPayload, match=r"^pipelib_x gave no answer within 0\.05 s$"):
        await answer(node, 60)
    with pytest.raises(BadPayload, match=r"^pipelib_x: TimeoutError: mine \(line 4\)$"):
        await answer(node, 0)


@pytest.mark.parametrize("thread", [False, True])
async def test_neither_side_can_change_what_the_other_has(tmp_path: Path, thread: bool) -> None:
    """What a library does to its input, or later to what it gave, changes nothing elsewhere."""
    source = "kept = []\ndef exec(value):\n    value['a'].append(1)\n    kept.append(value['a'])\n    return kept\n"
    async with opened(node_of(loaded(tmp_path, source), thread=thread)) as node:
        message: dict[str, list[int]] = {"a": []}
        first = await answer(node, message)
        await answer(node, message)
        assert message == {"a": []}
        assert first == [[1]]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
WITH_BYTES = st.recursive(
    JSON | st.binary(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def _containers(value: object) -> set[int]:
    below: list[object] = value if isinstance(value, list) else [*value.values()] if isinstance(value, dict) else []
    own = {id(value)} if isinstance(value, list | dict) else set()
    return own.union(*(_containers(item) for item in below))


@given(WITH_BYTES)
def test_copies_are_equal_and_share_nothing(value: object) -> None:
    """Whatever a message can hold, bytes included."""
    for copy in (copied(value), as_result(value)):
        assert copy == value
        assert _containers(copy).isdisjoint(_containers(value))


def test_what_json_has_a_form_for_gets_it_and_what_has_none_is_refused() -> None:
    """Tuples and arrays are lists, NaN is null, keys are texts; a set, or what has no end, is no result."""
    given = {"a": (1, np.float32(0.5)), "b": np.array([1, 2]), 3: float("nan")}
    assert as_result(given) == {"a": [1, 0.5], "b": [1, 2], "3": None}
    assert as_result({"b": np.array([[1, 2], [3, 4]]).T}) == {"b": [[1, 3], [2, 4]]}
    assert [as_result(value) for value in (float("nan"), float("-inf"), (b"x", {"y": (b"z",)}))] == [
        None,
        None,
        [b"x", {"y": [b"z"]}],
    ]
    whole = as_result(given["b"])
    assert isinstance(whole, np.ndarray)
    assert whole is not given["b"]
    endless: list[object] = []
    endless.append(endless)
    for wrong in ({1, 2}, {"a": [b"x", object()]}, endless):
        with pytest.raises(BadPayload, match="the result"):
            as_result(wrong)


def test_an_input_that_is_no_json_reaches_a_library_as_it_is() -> None:
    """An array, as of an image, is copied as an array."""
    image = np.zeros((2, 2), np.uint8)
    seen = cast("dict[str, Any]", copied({"image": image, "ids": {1: b"x"}}))
    seen["image"][0, 0] = 1
    assert image[0, 0] == 0
    assert (seen["image"].dtype, seen["ids"]) == (np.uint8, {1: b"x"})
    assert copied({"a": [float("nan")]}) == {"a": [None]}


async def test_a_version_is_opened_before_it_takes_over_and_closed_after_its_last_message(tmp_path: Path) -> None:
    """Across a swap: the old one's state is its own to the end, and the new one begins with what its ``open`` made."""
    source = """
import asyncio
seen, gate = [], asyncio.Event()

def open(context):
    context.state["version"] = context.params["version"]
    seen.append(f"open {context.state['version']}")

async def exec(value, context):
    if value == "wait":
        await gate.wait()
    return context.state["version"]

def close(context):
    seen.append(f"close {context.state['version']}")
"""
    (tmp_path / "pipelib_x.py").write_text(source)
    desk = Desk()

    async def swap(version: int) -> None:
        node: Written = {"id": "x", "type": "library", "library": "pipelib_x", "params": {"version": version}}
        spec = PipelineSpec.model_validate({"name": "p", "nodes": [IN, {**node, "inputs": ["in"]}, out("x")]})
        plan = compile_graph(spec, builtin_types())
        libraries = {"pipelib_x": tmp_path / "pipelib_x.py"}
        await desk.engine.swap(load(plan, version, models={}, libraries=libraries, before=desk.engine.loaded))

    await swap(1)
    assert desk.engine.loaded is not None
    library = desk.engine.loaded.libraries["pipelib_x"].exec.__globals__
    old = desk.hand_in("wait")
    await asyncio.sleep(0)
    await swap(2)
    assert library["seen"] == ["open 1", "open 2"]
    new = desk.hand_in("go")
    library["gate"].set()
    await until_acknowledged([old, new])
    await desk.engine.drain(20)
    assert desk.bodies() == [1, 2]
    assert library["seen"] == ["open 1", "open 2", "close 1", "close 2"]
