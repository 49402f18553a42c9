"""Expressions: what they give, what they are refused for, and what no message can make them do."""

import copy
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_runtime.language import bounded_jsonata
from pipeline_runtime.language.expressions import Expression
from schemas.errors import BadPayload

READING = {"temperature": 31.5, "machine": "m1", "gone": None, "rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}], "none": []}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('{"t": temperature * 2 + 32}', {"t": 95}),
        ("$sum(rows.(a*b))", 14),
        ("rows.a", [1, 3]),
        ("rows[0].a", 1),
        ("[1..3]", [1, 2, 3]),
        ("nothing.at.all", None),
        ("gone", None),
        ('{"gone": gone, "nothing": nothing}', {"gone": None}),
        ("$topic & $levels.line", "plant/7/read7"),
        ("$levels", {"line": "7"}),
        ('$lookup($levels, "line")', "7"),
        ("$exists(gone)", True),
        ("$map(rows, $lookup(?, 'a'))", [1, 3]),
        ("$uppercase(machine)", "M1"),
        ("$", READING),
        ("($n := 40; $n + 2)", 42),
        ("$power(10, 40)", 1e40),
        ('none{"a": 1}', {"a": 1}),
    ],
)
def test_what_an_expression_gives_is_plain_json(text: str, result: object) -> None:
    """Lists are lists, nothing is None; and the value that it is asked about stays as it is."""
    before = copy.deepcopy(READING)
    given = Expression(text).evaluate(READING, "plant/7/read", {"line": "7"})
    assert given == result
    assert before == READING
    assert all(type(part) in {dict, list, str, int, float, bool, type(None)} for part in _parts(given))


def _parts(value: object) -> Iterator[object]:
    yield value
    inside: list[object] = []
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list):
        inside = value
    for part in inside:
        yield from _parts(part)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a +", "Unexpected end of expression, at character 3"),
        ("(1", "Expected ) before end of expression, at character 2"),
        ("/(/", "No terminating /"),
        ("(" * 10_000, "nested too deep"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_its_place(text: str, said: str) -> None:
    """Who wrote it learns what is wrong and at which character."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is looked at below
        Expression(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("temperature > machine", "must be of the same data type"),
        ("1 / 0", "a division by zero"),
        ("$nope()", "Attempted to invoke a non-function, at character 6"),
        ("$lowercase(temperature)", "does not match function signature"),
        ('$error("no sensor")', "no sensor"),
        ("function($x){$x}", "a function in it"),
        ("$eval('1')", "non-function"),  # a message is no program
        ("($f := function($x){1 + $f($x)}; $f(1))", "calls itself too often"),
        ("[1..100000000]", "there are more than 1000000 numbers"),
        ('$ ~> |$|{"self": $}|', "nested too deep"),
    ],
)
def test_what_cannot_be_evaluated_costs_the_message(text: str, said: str) -> None:
    """It is BadPayload, whatever the library raised; and the next evaluation is not touched by it."""
    expression = Expression(text)
    for _ in range(2):
        with pytest.raises(BadPayload) as caught:
            expression.evaluate(READING)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "($f := function($x){$f($x + 1)}; $f(1))",
        "$map([1..900000], function($x){$x + 1})",
        "$count([1..500000].($x := $; [1..9][$ = $x]))",
    ],
)
def test_an_expression_that_goes_round_in_circles_is_ended(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time, of CPU."""
    monkeypatch.setattr(bounded_jsonata, "LIMIT_S", 0.05)
    with pytest.raises(BadPayload, match="no result after"):
        Expression(text).evaluate({})


def test_a_result_that_outgrows_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of this one doubles it."""
    monkeypatch.setattr(bounded_jsonata, "MOST_ITEMS", 1000)
    with pytest.raises(BadPayload, match="more than 1000 values"):
        Expression('$reduce([1..60], function($a, $b){ {"x": $a, "y": $a} }, 1)').evaluate({})


def test_the_interpreter_is_left_as_it_was() -> None:
    """The library asks for ten thousand frames, which may be more than the stack holds."""
    assert sys.getrecursionlimit() < 10_000


def test_who_has_no_expressions_does_without_their_library() -> None:
    """It takes two megabytes of each worker."""
    code = "import sys, pipeline_runtime.builtin as b; b.builtin_types(); sys.exit('jsonata' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_kept_from_one_evaluation_to_the_next() -> None:
    """Neither variables nor the message, even after an error and among other expressions."""
    first, second = Expression("($exists($n) ? 'kept' : ($n := x; $n / y))"), Expression("$n")
    for _ in range(2000):  # once for each frame that might be left
        assert first.evaluate({"x": 4, "y": 2}) == 2
    with pytest.raises(BadPayload):
        first.evaluate({"x": 4, "y": 0})
    assert first.evaluate({"x": 9, "y": 3}) == 3
    assert second.evaluate({"x": 1}) is None


def test_the_time_is_that_of_the_evaluation() -> None:
    """Though other expressions were compiled since, and in other threads."""
    clock = Expression("$millis()")
    first = clock.evaluate(None)
    compiled: list[Expression] = []
    thread = threading.Thread(target=lambda: compiled.append(Expression("$map([1, 2], function($x){$millis() + $x})")))
    thread.start()
    thread.join()
    second = clock.evaluate(None)
    third, fourth = compiled[0].evaluate(None)
    assert isinstance(first, int)
    assert first <= second <= third - 1 == fourth - 2


def test_what_json_has_no_form_for_is_null_to_an_expression() -> None:
    """Bytes, for one; arrays are lists."""
    value = {"picture": b"\x89PNG", "scores": np.array([0.25, 0.75]), "turned": np.arange(6).reshape(2, 3).T}
    given = Expression('{"p": picture, "top": $max(scores), "t": turned}').evaluate(value)
    assert given == {"p": None, "top": 0.75, "t": [[0, 3], [1, 4], [2, 5]]}
    assert Expression('$topic = "a"').holds(b"\xff", "a")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("temperature > 30", True),
        ("nothing > 30", False),
        ("gone", False),
        ("none", False),
        ("rows.a", True),
        ("rows.(a - a)", False),
        ('""', False),
        ("0", False),
        ("{}", False),
        ("machine", True),
    ],
)
def test_conditions_hold_as_in_jsonata(text: str, holds: bool) -> None:
    """Nothing, null, zero and what is empty are false."""
    assert Expression(text).holds(READING) is holds
    assert Expression(f"$boolean({text}) = true").holds(READING) is holds


SCALARS = st.one_of(
    st.integers(-4, 4),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.booleans(),
    st.sampled_from(["", "a", "b", "1"]),
    st.none(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
ATOMS = st.sampled_from(
    'a b c a.b a.b.c $.a 1 2.5 0 "a" true false null $topic $levels.a $levels.z $ $x a[0]'.split()  # noqa: SIM905
)
TEXTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["+", "-", "*", "/", "%", "<", "<=", ">", ">=", "=", "!=", "and", "or", "&", "in"]),
            inner,
        ),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds('{{"x": {}, "y": {}}}'.format, inner, inner),
        st.builds("({}).({})".format, inner, inner),
        st.builds("-{}".format, inner),
    ),
    max_leaves=6,
)


@given(text=TEXTS, value=VALUES | st.dictionaries(st.sampled_from("abc"), SCALARS, min_size=2))
@settings(max_examples=400)
def test_a_shortcut_gives_what_the_library_gives(text: str, value: object) -> None:
    """Or leaves it to the library: the same results of the same kinds, the same refusals."""
    short, whole = Expression(text), Expression(text)
    whole._quick = None
    assert _told(short, value) == _told(whole, value)


def _told(expression: Expression, value: object) -> str:
    try:
        return repr(expression.evaluate(value, "a", {"a": "1"}))
    except BadPayload as error:
        return f"refused: {error}"


def test_simple_expressions_have_shortcuts() -> None:
    """Or they would take ten times as long."""
    for text in [
        "temperature > 30",
        '{"t": temperature * 1.8 + 32, "m": machine}',
        '$levels.line = "7" and (a or b.c)',
    ]:
        assert Expression(text)._quick is not None, text
    for text in ["rows[0]", "rows^(a)", "$sum(rows.a)", "rows.{'a': a}", "a@$x.b", "a[]", "a.b{c: d}", "*", "**.a"]:
        assert Expression(text)._quick is None, text
