"""What is told of two lists of answers to the same messages."""

import math
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadInput, NotFound
from tidemill.cli.comparison_view import print_comparison
from tidemill.replay.answers import Answer, Failure, Outcome, read_outcomes
from tidemill.replay.comparing import Comparison, compare, quantiles
from tidemill.replay.value_differences import ABSENT, Tolerance, value_differences

EXACT = Tolerance()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=10,
)


def outcome(number: int, *answers: object, failure: Failure | None = None, latency_ms: float = 1.0) -> Outcome:
    """What came of a message, all on one topic."""
    published = tuple(Answer.of("t/out", orjson.dumps(answer)) for answer in answers)
    return Outcome(number=number, topic="t/in", answers=published, failure=failure, latency_ms=latency_ms)


def compared(before: list[Outcome], after: list[Outcome], tolerance: Tolerance = EXACT) -> Comparison:
    """Compare lists."""
    return compare(before, after, tolerance)


@given(JSON)
def test_a_value_does_not_differ_from_itself(value: object) -> None:
    """Whatever it is, and however exactly one looks."""
    assert list(value_differences(value, orjson.loads(orjson.dumps(value)), EXACT)) == []


@given(JSON, JSON)
def test_differences_are_found_and_are_so_both_ways(before: object, after: object) -> None:
    """Two values differ just when their JSON does, and each place is told in the same way from both sides."""
    found = list(value_differences(before, after, EXACT))
    there = {(one.path, repr(one.before), repr(one.after)) for one in found}
    back = {(one.path, repr(one.after), repr(one.before)) for one in value_differences(after, before, EXACT)}
    assert there == back
    if not found:
        assert before == after


def test_each_place_is_named() -> None:
    """Keys, positions, what is only on one side, and a type that changed."""
    before = {"a": [1, {"b c": "x"}], "gone": 1, "kind": True, "same": [None]}
    after = {"a": [1, {"b c": "y"}, 3], "kind": 1, "new": 2, "same": [None]}
    found = [(one.path, one.before, one.after) for one in value_differences(before, after, EXACT)]
    assert found == [
        ('$.a[1]["b c"]', "x", "y"),
        ("$.a[2]", ABSENT, 3),
        ("$.gone", 1, ABSENT),
        ("$.kind", True, 1),
        ("$.new", ABSENT, 2),
    ]


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "same"),
    [
        (1.0, 1.05, Tolerance(absolute=0.1), True),
        (1.0, 1.2, Tolerance(absolute=0.1), False),
        (1000.0, 1001.0, Tolerance(relative=0.01), True),
        (0.0, 1e-9, Tolerance(relative=0.01), False),
        (1, 1.0, EXACT, True),
        (1, True, Tolerance(absolute=5), False),
        ("1", "2", Tolerance(absolute=5), False),
    ],
)
def test_numbers_are_the_same_within_the_tolerance(
    before: object, after: object, tolerance: Tolerance, same: bool
) -> None:
    """Absolute or relative, and for numbers only."""
    assert (list(value_differences([before], [after], tolerance)) == []) is same


def test_a_value_may_be_nested_as_deep_as_json_may() -> None:
    """The comparison does not recurse."""
    deep = orjson.loads(b"[" * 1000 + b"1" + b"]" * 1000)
    deeper = orjson.loads(b"[" * 1000 + b"2" + b"]" * 1000)
    assert [one.before for one in value_differences(deep, deeper, EXACT)] == [1]


def test_what_differs_is_told_by_kind() -> None:
    """Labels with how often each became another, the farthest numbers, answers more and fewer, and failures."""
    oops = Failure(node="in", reason="oops")
    before = [
        outcome(1, {"label": "setosa", "p": 0.5}),
        outcome(2, {"label": "setosa", "p": 0.5}),
        outcome(3, {"label": "setosa", "p": 0.5}),
        outcome(4, 1, 2),
        outcome(5, 1),
        outcome(6),
        outcome(7, failure=oops),
        outcome(8, failure=oops),
    ]
    after = [
        outcome(1, {"p": 0.5, "label": "setosa"}),
        outcome(2, {"label": "virginica", "p": 0.75}),
        outcome(3, {"label": "virginica", "p": 1.0}),
        outcome(4, 1),
        outcome(5, failure=oops),
        outcome(6, "more"),
        outcome(7, 3),
        outcome(8, failure=Failure(node="x", reason="oops")),
    ]
    found = compared(before, after)
    assert (found.messages, found.equal, found.different) == (8, 1, 7)
    assert found.labels == {("t/out", "$.label", "setosa", "virginica"): 2}
    assert found.farthest == {("t/out", "$.p"): 0.5}
    assert found.kinds == {"label": 2, "value": 2, "missing": 2, "failed": 1, "extra": 2, "mended": 1, "reason": 1}
    assert [(one.number, one.kind) for one in found.differences if one.number in {5, 7}] == [
        (5, "failed"),
        (5, "missing"),
        (7, "mended"),
        (7, "extra"),
    ]


def test_answers_to_other_messages_are_not_compared() -> None:
    """Two recordings of different length, or in another order, are refused."""
    for after in ([outcome(1)], [outcome(1), outcome(3)]):
        with pytest.raises(BadInput, match="no answers to the same messages: message 2 on t/in against"):
            compared([outcome(1), outcome(2)], after)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_are_of_the_values(values: list[float]) -> None:
    """Each is one of the values, in order; at least half of them are at most p50."""
    found = quantiles(values)
    assert found is not None
    assert found.p50 <= found.p95 <= found.p99 <= found.longest == max(values)
    assert sum(value <= found.p50 for value in values) >= math.ceil(len(values) / 2)
    assert {found.p50, found.p95, found.p99} <= set(values)


def test_answers_that_are_no_json_are_compared_too() -> None:
    """Text as text, bytes as bytes; a comparison of them can be printed."""

    def binary(payload: bytes) -> Outcome:
        return Outcome(number=1, topic="t", answers=(Answer.of("o", payload),))

    assert compared([binary(b"\xff")], [binary(b"\xff")]).different == 0
    found = compared([binary(b"\xff")], [binary(b"text")])
    print_comparison(found, as_json=True)
    print_comparison(found, as_json=False)
    assert found.kinds == {"value": 1}


def test_a_file_of_answers_is_read_back(tmp_path: Path) -> None:
    """What was written is read; a line that is none of it is named, and so is a file that is not there."""
    path = tmp_path / "answers.jsonl"
    written = [outcome(1, {"n": 1}), outcome(2, failure=Failure(node="in", reason="oops"))]
    path.write_text("".join(one.model_dump_json() + "\n" for one in written))
    assert list(read_outcomes(path)) == written
    path.write_text('{"number": 0, "topic": "t"}\n')
    with pytest.raises(BadInput, match=r"answers.jsonl:1: no answers to a message: number"):
        list(read_outcomes(path))
    with pytest.raises(NotFound):
        list(read_outcomes(tmp_path / "none"))
