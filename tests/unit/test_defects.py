"""The table of defects in tests/README.md, against what tests say of themselves."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"\(defects? (\d+(?:, \d+)*)\)")
ROW = re.compile(r"\| (\d+) \| [^|]+ \| (`[^|]+`) \|")


def named() -> dict[str, set[int]]:
    """The defects that each test names, by the test's file and name."""
    found: dict[str, set[int]] = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                numbers = ", ".join(NAMED.findall(ast.get_docstring(node) or ""))
                found[f"{path.relative_to(TESTS)}::{node.name}"] = {
                    int(number) for number in re.findall(r"\d+", numbers)
                }
    return found


def table() -> dict[int, list[str]]:
    """The tests of each row of the table."""
    rows = [ROW.fullmatch(line) for line in (TESTS / "README.md").read_text().splitlines()]
    return {int(row[1]): re.findall(r"`([^`]+)`", row[2]) for row in rows if row}


def test_each_defect_is_named_by_a_test() -> None:
    """Of each defect of jobs, runs and pipelines some test says that it is not here, and the table has a row for it."""
    said = set().union(*named().values())
    assert [number for number in (*range(1, 30), *range(32, 42)) if number not in said or not table().get(number)] == []


def test_the_table_names_tests_that_say_the_same() -> None:
    """Every test in the table is there, and names its row's number in its docstring."""
    tests = named()
    rows = table()
    assert [
        (number, test) for number, row in rows.items() for test in row if number not in tests.get(test, set())
    ] == []
    assert sorted(rows) == list(rows)
