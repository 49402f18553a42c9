"""Files of rows, read into a real collection store."""

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import orjson
import pytest

from controller.data.imports import MAX_ARRAY_BYTES, import_rows
from controller.stores.collections import CollectionStore
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import BadInput, NotFound, TooLarge

PRESS = CollectionSpec(
    name="press",
    columns={
        "line": ColumnType.TEXT,
        "strokes": ColumnType.INTEGER,
        "force": ColumnType.REAL,
        "ok": ColumnType.BOOLEAN,
        "at": ColumnType.TIMESTAMP,
        "detail": ColumnType.JSON,
    },
    required=("line",),
)
EXPECTED = [
    {
        "position": 1,
        "line": "007",
        "strokes": 3,
        "force": 0.5,
        "ok": True,
        "at": "2026-11-20T07:30:00.000000+00:00",
        "detail": [1],
    },
    {"position": 2, "line": 'a,"b"\nc', "strokes": None, "force": None, "ok": None, "at": None, "detail": None},
]
ROWS = [
    {"line": "007", "strokes": 3, "force": 0.5, "ok": True, "at": "2026-11-20T08:30:00+01:00", "detail": [1]},
    {"line": 'a,"b"\nc'},
]
JSON = orjson.dumps(ROWS)
NDJSON = b"\n\n".join(orjson.dumps(row) for row in ROWS) + b"\n"
CSV = (
    "\ufeffline,strokes,force,ok,at,detail\r\n"
    '007,3,0.5,TRUE,2026-11-20T08:30:00+01:00,"[1]"\r\n'
    '"a,""b""\nc",,,,,\r\n\r\n'
).encode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    """An open store with one empty collection."""
    with closing(CollectionStore(f"sqlite:///{tmp_path}/collections.db")) as opened:
        opened.declare(PRESS)
        yield opened


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(JSON, "application/json"), (NDJSON, "application/x-ndjson"), (CSV, "text/csv; charset=utf-8")],
)
def test_every_format_gives_the_same_rows(store: CollectionStore, content: bytes, content_type: str) -> None:
    """The same rows as JSON array, NDJSON or CSV are the same rows in the collection."""
    result = import_rows(store, "press", BytesIO(content), content_type)
    assert (result.accepted, result.rejected, result.reasons) == (2, 0, ())
    found = store.rows("press")
    assert [{name: value for name, value in row.items() if name != "created"} for row in found] == EXPECTED


@pytest.mark.parametrize(
    ("content", "content_type", "reasons"),
    [
        (
            b'[{"line":"a"},3,{"strokes":1}]',
            "application/json",
            ["row 2: should be an object", "row 3: required column line is missing"],
        ),
        (
            b'{"line":"a"}\n\n{"line":\n{"line":2}\n',
            "application/x-ndjson",
            ["line 3: not JSON", "line 4: column line should be text, but is 2"],
        ),
        (
            b"line,strokes,ok\na,1,0\nb,1.5,1\nc\nd,1_0,1\ne,1,maybe\nf,99999999999999999999,1\ng,1,1,1\n",
            "text/csv",
            [
                "line 3: column strokes should be integer, but is 1.5 (real)",
                "line 4: 1 cells, but 3 columns",
                'line 5: column strokes should be integer, but is "1_0" (text)',
                'line 6: column ok should be boolean, but is "maybe" (text)',
                "line 7: column strokes is 1e+20, which is beyond",
                "line 8: 4 cells, but 3 columns",
            ],
        ),
        (
            b"line,force\na,1\nb,nan\nc,inf\n",
            "text/csv",
            ["line 3: column force is nan", "line 4: column force is inf"],
        ),
    ],
)
def test_rows_that_do_not_fit_are_rejected_alone(
    store: CollectionStore, content: bytes, content_type: str, reasons: list[str]
) -> None:
    """One row is taken; each of the others is rejected with its place in the file, and kept among the rejects."""
    result = import_rows(store, "press", BytesIO(content), content_type)
    assert (result.accepted, result.rejected) == (1, len(reasons))
    assert [told[: len(reason)] for told, reason in zip(result.reasons, reasons, strict=True)] == reasons
    assert {reject.source for reject in store.rejects("press")} == {"import"}
    assert sorted(reject.reason for reject in store.rejects("press")) == sorted(result.reasons)


@pytest.mark.parametrize(
    ("content", "content_type", "message"),
    [
        (b"{}", "application/json", "an array of objects"),
        (b'[{"line":"a"},', "application/json", "not JSON"),
        (b"", "text/csv", "names none of the columns"),
        (b"a,b\n1,2\n", "text/csv", "names none of the columns line, strokes"),
        (b"strokes\n1\n", "text/csv", "does not name the required column 'line'"),
        (b"line,line\na,b\n", "text/csv", "names column 'line' twice"),
        (b'line\na\n"b\nc\n', "text/csv", "line 4 is not CSV"),
        (b"line\na\n\xff\n", "text/csv", "line 3 is not UTF-8"),
        (b"line\na\n", "text/plain", "send one of application/json"),
        (b"x" * 5_000_000, "application/x-ndjson", "line 1 has more than"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_nothing(
    store: CollectionStore, content: bytes, content_type: str, message: str
) -> None:
    """The reason is told with its place, and no row and no reject of the file stays."""
    with pytest.raises(BadInput, match=message):
        import_rows(store, "press", BytesIO(content), content_type)
    view = store.view("press")
    assert (view.rows, view.rejects) == (0, 0)


def test_an_array_too_large_for_memory_is_refused(store: CollectionStore) -> None:
    """A larger JSON array is refused with the advice to send NDJSON."""
    with pytest.raises(TooLarge, match="send more rows as NDJSON"):
        import_rows(store, "press", BytesIO(b" " * (MAX_ARRAY_BYTES + 1)), "application/json")


def test_a_row_too_large_for_queries_is_rejected(store: CollectionStore) -> None:
    """A row that queries could not hold never gets in; the largest that does can be selected."""
    content = orjson.dumps([{"line": "é" * 1024 * 1024}, {"line": "é" * 1024 * 1024, "detail": "x"}])
    result = import_rows(store, "press", BytesIO(content), "application/json")
    assert (result.accepted, result.reasons) == (1, ("row 2: holds more than 1048576 characters",))
    with store.reader(timeout_s=5) as reader, reader.run("SELECT line FROM main.press", ["press"]) as found:
        assert list(found.rows) == [("é" * 1024 * 1024,)]


def test_a_long_file_is_one_transaction(store: CollectionStore) -> None:
    """A file of many batches arrives whole, and a failure at its end undoes its beginning."""
    lines = b"".join(b'{"line":"a","strokes":%d}\n' % number for number in range(5000))
    with pytest.raises(TooLarge):
        import_rows(store, "press", BytesIO(lines + b"x" * 5_000_000), "application/x-ndjson")
    assert store.view("press").rows == 0
    assert import_rows(store, "press", BytesIO(lines), "application/x-ndjson").accepted == 5000
    assert [row["strokes"] for row in store.rows("press", limit=10_000)] == list(range(5000))


def test_reasons_told_are_bounded(store: CollectionStore) -> None:
    """A file of nothing but mistakes is answered with the first of them, and all are counted."""
    result = import_rows(store, "press", BytesIO(b"3\n" * 3000), "application/x-ndjson")
    assert (result.accepted, result.rejected, len(result.reasons)) == (0, 3000, 20)
    assert store.view("press").rejects == 3000


def test_a_collection_that_is_not_there_is_said(store: CollectionStore) -> None:
    """Nothing is read for a collection that was not declared."""
    with pytest.raises(NotFound, match="there is no collection presses"):
        import_rows(store, "presses", BytesIO(JSON), "application/json")
