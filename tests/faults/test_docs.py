"""docs/faults.md names every fault of the list, and its tests as they are."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tollway.crash import CRASHPOINTS

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "faults.md").read_text()
FAULTS = 40
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`( \*\*L\*\*)?")
PARTLY_LONG = frozenset(
    {
        "test_the_books_balance_after_a_crash_at",
        "test_the_books_balance_after_kill_9_amid_holds_opened_ahead_of",
        "test_keys_work_once_they_were_given_out_and_no_more_once_they_were_revoked_though_auth_crashes_at",
    }
)
"""Their parameters say which."""


@cache
def marks_of(file: str) -> dict[str, bool]:
    """Tests of a file, and whether they are in the long suite only."""
    body = ast.parse((TESTS / file).read_text()).body
    found = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: any("mark.long" in ast.unparse(one) for one in node.decorator_list) for node in found}


def test_every_fault_has_its_tests_or_says_that_it_has_none() -> None:
    table = TEXT.split("<!-- faults -->")[1].split("<!-- end of faults -->")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")
    ]
    assert [cells[0] for cells in rows[1:]] == [str(number) for number in range(1, FAULTS + 1)]
    assert [cells[0] for cells in rows[1:] if not NAMED.search(cells[2]) and "not covered" not in cells[2]] == []


@pytest.mark.parametrize(("file", "name", "long"), sorted(set(NAMED.findall(TEXT))))
def test_every_test_that_is_named_exists_and_runs_where_it_is_said_to(file: str, name: str, long: str) -> None:
    assert name in marks_of(file)
    assert name in PARTLY_LONG or marks_of(file)[name] == bool(long)


def test_the_crash_points_are_those_of_the_code() -> None:
    assert f"{len(CRASHPOINTS)} places" in TEXT
    for name in CRASHPOINTS:
        assert f"`{name.partition('.')[2]}`" in TEXT
