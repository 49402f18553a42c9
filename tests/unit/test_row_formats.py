"""How rows are written down: as JSON, NDJSON, CSV and Parquet."""

import csv
import io
import subprocess
import sys
from collections.abc import Sequence

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data.parquet_rows import GROUP_ROWS
from controller.data.result_columns import result_columns
from controller.data.row_formats import Rows, encoder
from schemas.collections import CollectionSpec, ColumnType
from schemas.errors import BadInput
from schemas.queries import Format

SPEC = CollectionSpec(
    name="press",
    columns={
        "line": ColumnType.TEXT,
        "strokes": ColumnType.INTEGER,
        "force": ColumnType.REAL,
        "ok": ColumnType.BOOLEAN,
        "at": ColumnType.TIMESTAMP,
        "detail": ColumnType.JSON,
    },
)
NAMES = tuple(SPEC.columns)
MOMENT = "2026-03-04T05:06:07.000008+00:00"
ROWS: Rows = [
    ('Presse №7, "links"\n', 2**62, 0.5, True, MOMENT, {"parts": [1, None]}),
    (None, None, None, None, None, None),
    ("", -1, 1e-300, False, MOMENT, "text"),
]


def written(wanted: Format, rows: Rows, names: Sequence[str] = NAMES, chunk: int = 2) -> bytes:
    """The file that these rows make."""
    chunks = (rows[at : at + chunk] for at in range(0, len(rows), chunk))
    return b"".join(encoder(wanted)(result_columns(names, specs=[SPEC]), chunks))


def table(data: bytes) -> pa.Table:
    """What a script would read from Parquet."""
    return pq.read_table(io.BytesIO(data))


def test_json_is_one_array() -> None:
    """JSON is an array of objects, a row a line, for any number of rows."""
    assert orjson.loads(written("json", ROWS)) == [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    assert len(written("json", ROWS).splitlines()) == len(ROWS) + 2
    assert orjson.loads(written("json", [])) == []


def test_ndjson_is_an_object_a_line() -> None:
    """NDJSON has as many lines as rows, and is empty without rows."""
    assert [orjson.loads(line) for line in written("ndjson", ROWS).splitlines()] == [
        dict(zip(NAMES, row, strict=True)) for row in ROWS
    ]
    assert written("ndjson", []) == b""


def test_csv_is_plain() -> None:
    """CSV has a line of names, CR LF, null as nothing, booleans as words, JSON as its text and all letters."""
    lines = list(csv.reader(io.StringIO(written("csv", ROWS).decode(), newline="")))
    assert lines == [
        list(NAMES),
        ['Presse №7, "links"\n', str(2**62), "0.5", "true", MOMENT, '{"parts":[1,null]}'],
        [""] * 6,
        ["", "-1", "1e-300", "false", MOMENT, '"text"'],
    ]
    assert written("csv", []) == b"line,strokes,force,ok,at,detail\r\n"


def test_csv_leaves_texts_as_they_are() -> None:
    """A text that a spreadsheet would take for a formula is data like any other, and is not touched."""
    assert (
        written("csv", [("=1+1",), ("@x",), ("a,b",), ('"',)], ["line"]) == b'line\r\n=1+1\r\n@x\r\n"a,b"\r\n""""\r\n'
    )


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text()), max_size=20), st.integers(1, 7))
def test_any_texts_survive_csv(rows: list[tuple[str | None, str | None]], chunk: int) -> None:
    """Whatever a text holds, a CSV reader gets it back; null and the empty text are the same there."""
    data = written("csv", list(rows), ["line", "note"], chunk).decode()
    found = list(csv.reader(io.StringIO(data, newline="")))[1:]
    assert [tuple(row) for row in found] == [(first or "", second or "") for first, second in rows]


def test_parquet_has_the_declared_types() -> None:
    """Columns that are plainly a collection's have its types in Parquet, also where every value is null."""
    for rows in (ROWS, ROWS[1:2], []):
        found = table(written("parquet", rows))
        types = [str(kind) for kind in found.schema.types]
        assert types == ["string", "int64", "double", "bool", "timestamp[us, tz=UTC]", "string"]
        assert found.num_rows == len(rows)
    first = table(written("parquet", ROWS)).to_pylist()[0]
    assert (first["strokes"], first["at"].isoformat(), first["detail"]) == (2**62, MOMENT, '{"parts":[1,null]}')


def test_parquet_takes_other_types_from_the_values() -> None:
    """A computed column's type is that of its first values; a name alone does not make it a declared one."""
    found = table(written("parquet", [(1, 2.5, [1], "x"), (2, 3, {}, "y")], ["n", "mean", "parts", "strokes"]))
    assert [str(kind) for kind in found.schema.types] == ["int64", "double", "string", "string"]


def test_parquet_streams_in_groups() -> None:
    """Many rows are many row groups, each written before the next is read."""
    rows: Rows = [(number,) for number in range(2 * GROUP_ROWS + 5)]
    data = written("parquet", rows, ["n"], chunk=10)
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups == 3
    assert table(data)["n"].to_pylist() == list(range(len(rows)))


@pytest.mark.parametrize(
    ("late", "reason"),
    [
        (("x", "a"), rf"row {GROUP_ROWS + 6}: column n holds 'x', and the rows before it held int64; .*CAST"),
        ((2.5, "a"), rf"row {GROUP_ROWS + 6}: column n holds '2.5', and the rows before it held int64"),
        ((1, 5), rf"row {GROUP_ROWS + 6}: column t holds '5', and the rows before it held string"),
    ],
)
def test_a_later_value_of_another_type_is_named(late: tuple[object, ...], reason: str) -> None:
    """A value that does not fit the column is refused with its row, its column and what to do."""
    rows: Rows = [(1, "a")] * (GROUP_ROWS + 5)
    with pytest.raises(BadInput, match=reason):
        written("parquet", [*rows, late], ["n", "t"], chunk=10)


def test_values_that_never_fit_are_named() -> None:
    """Values of several types within the first rows are refused, with the column."""
    with pytest.raises(BadInput, match="column n holds values of several types"):
        written("parquet", [(1,), ("a",)], ["n"])


@pytest.mark.parametrize("wanted", ["json", "ndjson", "csv"])
def test_bytes_are_refused_in_texts(wanted: Format) -> None:
    """Bytes have no place in a text, and the message says which row and what to select instead."""
    with pytest.raises(BadInput, match=r"row 3: column b holds bytes; select hex\(b\)"):
        written(wanted, [("a",), ("b",), (b"\x00",)], ["b"])


def test_parquet_asks_for_its_package() -> None:
    """Without pyarrow, Parquet is refused with the command that installs it, and the other formats work."""
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from controller.data.row_formats import check_format\n"
        "check_format('json'); check_format('csv'); check_format('parquet')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "pip install tidemill[parquet]" in ended.stderr


def test_a_controller_without_parquet_does_not_load_it() -> None:
    """Selecting rows imports pyarrow for those alone who want it."""
    program = "import sys, controller.data.selection; print('pyarrow' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "False\n"
