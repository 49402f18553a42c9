"""The collect node: what it puts into its spool, once, and what it refuses."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_runtime.node_type import Fittings
from pipeline_runtime.nodes.collect import NODE, Params
from pipeline_runtime.outside.spool import FILE_NAME, RECENT, REMEMBERED, Gathered, Spool
from schemas.collected import MAX_BATCH_BYTES, MAX_ROW_BYTES
from schemas.errors import BadInput
from tests.unit.engine_desk import Written, desk, until_acknowledged

IN: Written = {"id": "in", "type": "mqtt_sub", "topic": "t/{line}"}
DOUBLE: Written = {"id": "out", "type": "mqtt_pub", "topic": "t/out/x", "inputs": ["keep"]}


def keeping(*inputs: str, **params: object) -> list[Written]:
    """A pipeline that collects and publishes what was collected."""
    collect: Written = {"id": "keep", "type": "collect", "collection": "c", "inputs": list(inputs or ["in"])}
    return [IN, collect | params, DOUBLE]


@contextmanager
def spool_in(state: Path, node: str = "keep") -> Iterator[Spool]:
    """The spool of a node, as the agent sees it."""
    with closing(Spool(state / node / FILE_NAME)) as spool:
        yield spool


def rows_in(state: Path) -> list[object]:
    """What waits, in order."""
    with spool_in(state) as spool:
        return rows_of(spool)


async def test_a_message_is_a_row_and_a_list_is_rows(tmp_path: Path) -> None:
    """They are on the disk before the message is acknowledged, and the result is what was given."""
    async with desk(keeping(), state=tmp_path) as on:
        for value in ({"n": 1}, [{"n": 2}, {"n": None, "more": [1]}], []):
            await on.answered(value, "t/a")
        assert rows_in(tmp_path) == [{"n": 1}, {"n": 2}, {"n": None, "more": [1]}]
        assert on.bodies("t/out/x") == [{"n": 1}, [{"n": 2}, {"n": None, "more": [1]}], []]


async def test_several_inputs_are_the_columns(tmp_path: Path) -> None:
    """Without `columns`, each input is the column of its name."""
    nodes: list[Written] = [IN, {**keeping()[1], "id": "first"}, *keeping("in", "first")[1:]]
    async with desk(nodes, state=tmp_path) as on:
        await on.answered({"n": 1}, "t/a")
    assert rows_in(tmp_path) == [{"in": {"n": 1}, "first": {"n": 1}}]


async def test_columns_say_where_values_stand(tmp_path: Path) -> None:
    """A level of the topic, a field, a field of a field; what is not there is not in the row."""
    columns = {"line": "line", "number": "n", "deep": "a.b", "none": "a.c", "nothing": "x.y"}
    async with desk(keeping(columns=columns), state=tmp_path) as on:
        await on.answered([{"n": 1, "a": {"b": 2}}, {"n": 0}, 5], "t/press")
    assert rows_in(tmp_path) == [
        {"line": "press", "number": 1, "deep": 2},
        {"line": "press", "number": 0},
        {"line": "press"},
    ]


@pytest.mark.parametrize("value", [5, "x", None, [1], [{"n": 1}, 2], {"n": "x" * MAX_ROW_BYTES}])
async def test_what_is_no_row_fails_its_message(tmp_path: Path, value: object) -> None:
    """Whole: nothing of it is kept."""
    async with desk(keeping(), state=tmp_path) as on:
        await on.answered(value, "t/a")
        assert [node for node, _ in on.letters()] == ["keep"]
    assert rows_in(tmp_path) == []


async def test_rows_of_many_messages_are_in_their_order(tmp_path: Path) -> None:
    """Also when they are written together."""
    async with desk(keeping(), state=tmp_path) as on:
        await until_acknowledged([on.hand_in({"n": number}, "t/a") for number in range(500)])
    assert rows_in(tmp_path) == [{"n": number} for number in range(500)]


async def test_a_message_that_comes_again_is_not_collected_again(tmp_path: Path) -> None:
    """If the broker says that it sent it before, and its rows are here; a new one that is the same is another."""
    for _ in range(2):  # the second time, by a worker that was started anew
        async with desk(keeping(), state=tmp_path) as on:
            await until_acknowledged([on.hand_in({"n": number}, "t/a", dup=True) for number in (1, 2)])
    assert rows_in(tmp_path) == [{"n": 1}, {"n": 2}]
    async with desk(keeping(), state=tmp_path) as on:
        await until_acknowledged(
            [on.hand_in({"n": 1}, topic, dup=dup) for topic, dup in (("t/a", False), ("t/b", True))]
        )
    assert rows_in(tmp_path) == [{"n": 1}, {"n": 2}, {"n": 1}, {"n": 1}]


async def test_a_new_version_goes_on_with_the_spool(tmp_path: Path) -> None:
    """Under messages, with another collection: nothing is lost, and each row stays with its collection."""
    async with desk(keeping(), state=tmp_path) as on:
        letters = [on.hand_in({"n": number}, "t/a") for number in range(100)]
        await letters[0].acknowledged.wait()
        await on.load(keeping(collection="d"), version=2, state=tmp_path)
        letters += [on.hand_in({"n": number}, "t/a") for number in range(100, 200)]
        await until_acknowledged(letters)
    found: list[tuple[str, int]] = []
    with spool_in(tmp_path) as spool:
        while waiting := spool.oldest(MAX_BATCH_BYTES):
            found += [(waiting.collection, orjson.loads(row)["n"]) for row in waiting.rows]
            spool.forget(waiting.last)
    assert [number for _, number in found] == list(range(200))
    assert {name for name, _ in found} == {"c", "d"}
    assert found == sorted(found)


async def test_a_full_spool_fails_messages_until_there_is_room(tmp_path: Path) -> None:
    """With a reason that names the parameter; once the agent has sent rows, it goes on."""
    async with desk(keeping(spool_mb=1), state=tmp_path) as on:
        while not on.letters():
            await on.answered({"text": "x" * 100_000}, "t/a")
        ((node, error),) = on.letters()
        assert (node, str(error)[:44]) == ("keep", "1 MB of rows wait for the controller (`spool")
        assert 8 <= len(rows_in(tmp_path)) <= 12
        with spool_in(tmp_path) as spool:
            spool.forget(5)
        await on.answered({"text": "room"}, "t/a")
        assert len(on.letters()) == 1
    assert rows_in(tmp_path)[-1] == {"text": "room"}


async def test_without_a_disk_it_refuses() -> None:
    """A pipeline that is tried by hand has no place for rows that must not be lost."""
    node = NODE.make(Params(collection="c"), Fittings("keep", {}, {}))
    with pytest.raises(BadInput, match="deploy the pipeline to an edge"):
        await node.open()
    await node.close()


async def test_a_spool_that_is_no_spool_is_told(tmp_path: Path) -> None:
    """With the file's name."""
    (tmp_path / FILE_NAME).write_bytes(b"no database at all, and longer than its header" * 10)
    node = NODE.make(Params(collection="c"), Fittings("keep", {}, {}, state=tmp_path))
    with pytest.raises(BadInput, match=r"rows\.sqlite cannot be kept: file is not a database"):
        await node.open()


@given(sizes=st.lists(st.integers(1, 50), max_size=30), most=st.integers(1, 200))
def test_batches_hold_every_row_once(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], most: int) -> None:
    """Each within its bound, unless it is of one row; and a spool keeps its id and its numbers when it is empty."""
    file = tmp_path_factory.mktemp("spool") / FILE_NAME
    rows = [b"x" * size for size in sizes]
    with closing(Spool(file)) as spool:
        spool.append("c", [Gathered(bytes(16), 0, again=False, rows=(row,)) for row in rows])
        taken: list[bytes] = []
        while waiting := spool.oldest(most):
            assert waiting.first == len(taken) + 1
            assert len(waiting.rows) == 1 or sum(map(len, waiting.rows)) <= most
            taken += waiting.rows
            spool.forget(waiting.last)
        spool_id = spool.id
    assert taken == rows
    with closing(Spool(file)) as again:
        again.append("c", [Gathered(bytes(16), 0, again=False, rows=(b"1",))])
        assert (again.id, again.oldest(most)) == (spool_id, again.oldest(1))
        last = again.oldest(1)
        assert last is not None
        assert last.first == len(rows) + 1


def test_only_so_many_messages_are_remembered(tmp_path: Path) -> None:
    """The file does not grow with messages whose rows are gone."""
    with closing(Spool(tmp_path / FILE_NAME)) as spool:
        for _ in range(3):
            spool.append("c", [said(number, number) for number in range(REMEMBERED)])
        (count,) = spool._connection.execute("SELECT count(*) FROM messages").fetchone()
    assert count == REMEMBERED


def said(text: int, packet_id: int, *, again: bool = False) -> Gathered:
    """A message with a row."""
    return Gathered(text.to_bytes(16), packet_id, again, (b"%d" % text,))


def test_messages_are_known_by_their_packet_ids(tmp_path: Path) -> None:
    """However many were sent without an acknowledgement; others that say the same are others."""
    with closing(Spool(tmp_path / FILE_NAME)) as spool:
        spool.append("c", [said(number % 7, number) for number in range(2000)])
        for first in range(0, 2000, 100):
            spool.append("c", [said(number % 7, number, again=True) for number in range(first, first + 100)])
        assert rows_of(spool) == [number % 7 for number in range(2000)]
        spool.append("c", [said(8, 1)] + [said(9, 2)] * RECENT)
        spool.append("c", [said(8, 3, again=True)])
        assert rows_of(spool)[-1] == 8


def test_the_newest_messages_are_known_without_their_packet_ids(tmp_path: Path) -> None:
    """A broker may number anew when it starts: as many are left out as are here."""
    with closing(Spool(tmp_path / FILE_NAME)) as spool:
        spool.append("c", [said(1, 11), said(1, 12), said(2, 13)])
        spool.append("c", [said(1, 1, again=True), said(1, 2, again=True), said(1, 3, again=True)])
        spool.append("c", [said(4, 4), said(4, 4, again=True), said(2, 5, again=True)])
        assert rows_of(spool) == [1, 1, 2, 1, 4]


def rows_of(spool: Spool) -> list[object]:
    """All of them."""
    waiting = spool.oldest(10**9)
    return [orjson.loads(row) for row in waiting.rows] if waiting else []
