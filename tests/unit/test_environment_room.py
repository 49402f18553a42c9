"""Which environments go when there are too many."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.execution.environment_place import Place
from edge_agent.execution.environment_room import Kept, victims

SIZES = st.integers(0, 100)


@given(st.lists(st.tuples(SIZES, st.integers(0, 5), st.booleans())), st.integers(-10, 500))
def test_as_few_go_as_are_needed_and_the_longest_unused_first(rows: list[tuple[int, int, bool]], over: int) -> None:
    """None in use goes, none goes that was used after one that stays, and the last to go was needed."""
    kept = [Kept(Place(Path(str(number))), *row) for number, row in enumerate(rows)]
    gone = [next(each for each in kept if each.place == place) for place in victims(kept, over)]
    assert not any(each.used for each in gone)
    stay = [each for each in kept if not each.used and each not in gone]
    assert all(each.used_at <= other.used_at for each in gone for other in stay)
    assert not stay or sum(each.size_bytes for each in gone) >= over
    assert sum(each.size_bytes for each in gone[:-1]) < max(over, 1) or not gone
