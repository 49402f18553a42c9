"""What devices send becomes rows, or a reject that says what is wrong."""

from datetime import datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.data.payloads import Parsed, parse_rows
from schemas.collections import CollectionSpec, ColumnType

SPEC = CollectionSpec(
    name="press",
    columns={
        "label": ColumnType.TEXT,
        "strokes": ColumnType.INTEGER,
        "force": ColumnType.REAL,
        "ok": ColumnType.BOOLEAN,
        "at": ColumnType.TIMESTAMP,
        "detail": ColumnType.JSON,
    },
    required=("label",),
)


def parse(payload: bytes, max_bytes: int = 10_000) -> Parsed:
    """Parse what a press sent."""
    return parse_rows(payload, SPEC, max_bytes=max_bytes, source="factory/press")


def test_an_object_is_one_row() -> None:
    """Each column is stored in its own form: times in UTC, JSON as text, whole reals as integers where wanted."""
    payload = {"label": "a", "strokes": 3.0, "force": 2, "ok": True, "at": "2026-11-20T08:30+01:00", "detail": [1, {}]}
    parsed = parse(orjson.dumps(payload))
    assert parsed.rejects == []
    assert parsed.rows == [
        {
            "label": "a",
            "strokes": 3,
            "force": 2.0,
            "ok": True,
            "at": "2026-11-20T07:30:00.000000+00:00",
            "detail": "[1,{}]",
        }
    ]
    assert [type(value) for value in parsed.rows[0].values()] == [str, int, float, bool, str, str]


def test_a_bad_row_does_not_take_its_neighbours_with_it() -> None:
    """Of an array, only the row that does not fit is rejected, and the reject says which."""
    parsed = parse(b'[{"label":"a"},{"label":"b","force":"high"},{"label":"c"}]')
    assert [row["label"] for row in parsed.rows] == ["a", "c"]
    (reject,) = parsed.rejects
    assert reject.reason == 'row 2: column force should be real, but is "high" (text)'
    assert (reject.source, reject.payload) == ("factory/press", '{"label":"b","force":"high"}')


def test_unknown_keys_are_ignored_and_counted() -> None:
    """A device that sends more than the collection holds is heard all the same."""
    parsed = parse(b'[{"label":"a","new":1,"newer":2},{"label":"b"}]')
    assert (len(parsed.rows), parsed.ignored_keys, parsed.rejects) == (2, 2, [])


def test_an_empty_array_is_no_row_and_no_fault() -> None:
    """A device with nothing to say may say so."""
    assert parse(b"[]") == Parsed()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"label":NaN}', "not JSON"),
        (b'{"label":"a","force":9007199254740993}', "cannot hold exactly"),
        (b'{"label":"a","force":1e999}', "infinity"),
        (b'{"label":"\xff"}', "UTF-8"),
        (b"[" * 2000 + b"]" * 2000, "depth"),
        (b'{"label":"' + b"x" * 20_000 + b'"}', "20012 bytes, and at most 10000 are taken"),
        (b"3", "should be an object with the columns as keys, but is int"),
        (b"null", "but is NoneType"),
        (b'[["label"]]', "row 1: should be an object"),
        (b"{}", "holds none of the columns label, strokes"),
        (b'{"other":1}', "holds none of the columns"),
        (b'{"force":1}', "required column label is missing"),
        (b'{"label":null}', "required column label is null"),
        (b'{"label":3}', "column label should be text, but is 3 (integer)"),
        (b'{"label":"a\\u0000b"}', "column label holds a NUL character"),
        (b'{"label":"a","strokes":true}', "column strokes should be integer, but is true (boolean)"),
        (b'{"label":"a","strokes":1.5}', "column strokes should be integer, but is 1.5 (real)"),
        (b'{"label":"a","strokes":9223372036854775808}', "needs more than 64 bits"),
        (b'{"label":"a","strokes":123456789012345678901234567890}', "beyond the exact whole numbers"),
        (b'{"label":"a","force":false}', "column force should be real, but is false (boolean)"),
        (b'{"label":"a","ok":1}', "column ok should be boolean, but is 1 (integer)"),
        (b'{"label":"a","ok":"true"}', 'should be boolean, but is "true" (text)'),
        (b'{"label":"a","at":1700000000}', "column at should be timestamp, a text such as"),
        (b'{"label":"a","at":"yesterday"}', "column at should be timestamp such as"),
        (b'{"label":"a","at":"2026-11-20T08:30:00"}', "a time without an offset"),
        (b'{"label":"a","at":"0001-01-01T00:00:00+05:00"}', "outside the years"),
        (b'{"label":"a","detail":' + b"[" * 500 + b"]" * 500 + b"}", "nested deeper than 100 levels"),
    ],
)
def test_what_does_not_fit_is_rejected_with_its_reason(payload: bytes, reason: str) -> None:
    """A reject names the column, what it should be and what it is."""
    parsed = parse(payload)
    assert parsed.rows == []
    (reject,) = parsed.rejects
    assert reason in reject.reason
    assert len(reject.payload) <= 500


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_the_parser_fail(payload: bytes) -> None:
    """Whatever arrives is rows, rejects or nothing, never an exception."""
    parse(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SPEC.columns, "other"]), json_values))
def test_a_row_that_is_taken_holds_what_was_sent(item: dict[str, object]) -> None:
    """No value is silently changed into another: what a row holds equals what its payload held."""
    try:
        payload = orjson.dumps(item)
    except TypeError:  # an integer that JSON libraries of devices could not send either
        return
    for row in parse(payload).rows:
        for name in ("label", "strokes", "force", "ok"):
            assert row[name] == item.get(name)
        if isinstance(row["detail"], str):
            assert orjson.loads(row["detail"]) == orjson.loads(orjson.dumps(item["detail"]))


offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1000, 1, 3), datetime(9999, 12, 29), timezones=offsets)  # noqa: DTZ001 - bounds


@given(moments, moments)
def test_timestamps_keep_their_moment_and_sort_as_texts(one: datetime, other: datetime) -> None:
    """Stored times compare as their moments do, whatever offsets they were sent with."""
    rows = parse(orjson.dumps([{"label": "a", "at": one.isoformat()}, {"label": "b", "at": other.isoformat()}])).rows
    first, second = str(rows[0]["at"]), str(rows[1]["at"])
    assert (datetime.fromisoformat(first), datetime.fromisoformat(second)) == (one, other)
    assert (first < second) == (one < other)
