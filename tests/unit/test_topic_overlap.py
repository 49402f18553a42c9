"""When two filters take a common topic."""

from itertools import product

from hypothesis import example, given
from hypothesis import strategies as st

from schemas.topics import matches, overlap

LEVELS = ("a", "b", "$c", "")
TOPICS = ["/".join(levels) for depth in (1, 2, 3, 4) for levels in product(LEVELS, repeat=depth) if levels != ("",)]

inner = st.sampled_from((*LEVELS, "+"))
filters = st.builds(lambda front, last: "/".join([*front, last]), st.lists(inner, max_size=2), inner | st.just("#"))
filters = filters.filter(bool)  # an empty filter does not exist


@given(filters, filters)
@example("a/#", "a")
@example("+/#", "a")
@example("#", "$c")
@example("$c/#", "+/a")
@example("+", "/#")
def test_filters_overlap_exactly_when_a_topic_is_taken_by_both(first: str, second: str) -> None:
    """The answer is what trying every topic of up to four levels gives, and the order does not matter."""
    expected = any(matches(first, topic) and matches(second, topic) for topic in TOPICS)
    assert overlap(first, second) == overlap(second, first) == expected
