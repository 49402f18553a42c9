"""Expressions and messages that would take all the time or memory there is, or raise what nobody expects."""

import copy
import signal
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_runtime.language import bounded_jsonata
from pipeline_runtime.language.expressions import Expression
from schemas.errors import BadPayload
from tests.unit.engine_desk import Written, desk

Jsonata: Any = vars(bounded_jsonata)["Jsonata"]  # imported there alone, where what it does to the interpreter is undone
CATASTROPHE = {"text": "a" * 40 + "!"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on time is made short."""
    monkeypatch.setattr(bounded_jsonata, "LIMIT_S", 0.05)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$contains(text, /^(a+)+$/)", CATASTROPHE),
        ("$match(text, /^(a+)+$/)", CATASTROPHE),
        ('$replace(text, /^(a|aa)+$/, "")', CATASTROPHE),
        ("$split(text, /(a*)*b/)", CATASTROPHE),
        ("$distinct(numbers)", {"numbers": list(range(50_000))}),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_one_call_that_takes_for_ever_is_ended(text: str, value: object) -> None:
    """Within a single step, where no step's bound helps; and again, for nothing is left of the first time."""
    expression = Expression(text)
    for _ in range(2):
        with pytest.raises(BadPayload, match=r"no result after 0\.05 s"):
            expression.evaluate(value)
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert Expression("$contains(text, /a!/)").evaluate(CATASTROPHE) is True


@pytest.mark.usefixtures("impatient")
async def test_a_regular_expression_without_end_costs_one_message() -> None:
    """It becomes a dead letter, and the next message is answered."""
    nodes: list[Written] = [
        {"id": "in", "type": "mqtt_sub", "topic": "in/{line}"},
        {"id": "f", "type": "filter", "where": "$contains(text, /^(a+)+$/)", "inputs": ["in"]},
        {"id": "out", "type": "mqtt_pub", "topic": "t/out", "inputs": ["f"]},
    ]
    async with desk(nodes) as made:
        await made.answered(CATASTROPHE, "in/7")
        await made.answered({"text": "aaa"}, "in/7")
        assert [node for node, _ in made.letters()] == ["f"]
        assert made.bodies() == [{"text": "aaa"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('$pad("x", n)', "characters"),
        ('$pad("x", -n)', "characters"),
        ('$length($reduce([1..60], function($a, $b){$a & $a}, "x"))', "characters"),
        ("$count($reduce([1..60], function($a, $b){$append($a, $a)}, [1]))", "values"),
        ('$replace(long, "x", long)', "characters"),
        ("$replace(long, /x/, long)", "characters"),
        ("$join($split(long, ''), long)", "characters"),
        ("[1..1000].[1..1000].[1..1000]", "numbers"),
        ("[0..n]", "numbers"),
        ("[[1..900000], [1..900000]]", "numbers"),
    ],
)
def test_what_would_take_all_memory_is_refused_before(text: str, said: str) -> None:
    """With what there is too much of."""
    with pytest.raises(BadPayload, match=rf"more than 10+ {said}"):
        Expression(text).evaluate({"n": 10**15, "long": "x" * 5_000})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('$pad("x", 3)', "x  "),
        ('$pad("x", -3, "-")', "--x"),
        ('"x" ~> $pad(?, 2, "!")', "x!"),
        ('$join(["a", "b"], ", ")', "a, b"),
        ('$join(["a", "b"])', "ab"),
        ("$join(nothing)", None),
        ('$replace("2026-11", /(\\d+)-(\\d+)/, "$2.$1")', "11.2026"),
        ('$replace("aaa", "a", "b", 2)', "bba"),
        ('$replace("abc", /b/, function($m){ $uppercase($m.match) })', "aBc"),
        ('$length($replace(long, /x/, "yyy"))', 900_000),
    ],
)
def test_functions_that_are_measured_give_what_they_gave(text: str, result: object) -> None:
    """Also when they are given only some of their arguments."""
    assert Expression(text).evaluate({"long": "x" * 300_000}) == result


@pytest.mark.parametrize("sign", ["+", "&", " and ", " or ", "=", "~> $string() ~> "])
def test_long_chains_are_evaluated_or_refused(sign: str) -> None:
    """However deep the tree: ValueError when it is compiled, BadPayload when it is evaluated."""
    for count in [100, 450, 700, 950, 1200]:
        try:
            expression = Expression(sign.join(["a"] * count))
        except ValueError as error:
            assert "nested too deep" in str(error)  # noqa: PT017 - either may happen
            continue
        try:
            expression.evaluate({"a": 1})
        except BadPayload:
            continue


def test_what_is_no_number_is_no_result() -> None:
    """JSON has no form for it."""
    with pytest.raises(BadPayload, match="number in it that is none"):
        Expression("[$number(text)]").evaluate({"text": "nan"})


def test_what_an_expression_complains_of_can_be_written_down() -> None:
    """Whatever it is: not too long, and in characters that JSON has."""
    for text in ('$error($pad("x", 5000000))', '$error("\\ud800")'):
        with pytest.raises(BadPayload) as caught:
            Expression(text).evaluate({})
        assert len(orjson.dumps(str(caught.value))) < 1000


FUNCTIONS = sorted(
    name
    for name, bound in Jsonata.static_frame.bindings.items()
    if isinstance(bound, Jsonata.JNativeFunction) and name not in {"random", "shuffle", "now", "millis"}
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["[Y]", "#0.00", "1e400", "nan", "%ff", "2026-11-27T08:00:00Z", "", "$1", "=", "w", "a"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.sampled_from(
    ["a", "b", "c", "$", "*", "$$.a", "/a*/", "/(.)\\1/", "$sum", "$string", "function($x){$x}", "function(){a}"]
)


@given(
    function=st.sampled_from(FUNCTIONS),
    arguments=st.lists(ARGUMENTS, max_size=4),
    value=VALUES | st.fixed_dictionaries({"a": VALUES, "b": VALUES, "c": VALUES}),
)
@settings(max_examples=200, deadline=None)
def test_no_value_makes_a_function_raise_anything_but_bad_payload(
    function: str, arguments: list[str], value: object
) -> None:
    """Each of the library's functions, on any JSON: a result that is JSON, or BadPayload; the value stays as it was."""
    before = copy.deepcopy(value)
    for text in (f"${function}({', '.join(arguments)})", f"${function}({', '.join(arguments)}) > 1"):
        try:
            result = Expression(text).evaluate(value)
        except BadPayload as error:
            orjson.dumps(str(error))
        else:
            assert all(type(part) in {dict, list, str, int, float, bool, type(None)} for part in _parts(result))
    assert repr(value) == repr(before)


def _parts(value: object) -> Iterator[object]:
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _parts(part)
