"""What docs/ledger.md says of charges, limits and tests is so."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tollway.ledger import charges, clockguard, members, service, writer
from tollway.ledger.deciding.credit import LOT_LIFE_DAYS
from tollway.ledger.deciding.unheard import HOLD_GRACE_MS
from tollway.ledger.state import EXPIRED_KEPT_MS
from tollway.wire import subjects
from tollway.wire.pricing import OVERRUN_DIVISOR, OVERRUN_NUSD_MIN

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "ledger.md").read_text()
INVARIANTS = 26
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows_between(begin: str, end: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    table = TEXT.split(f"<!-- {begin} -->")[1].split(f"<!-- {end} -->")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def names_in(file: str) -> frozenset[str]:
    """Tests that a file defines, or assigns."""
    found: set[str] = set()
    for node in ast.parse((TESTS / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def test_the_table_of_outcomes_is_that_of_the_code() -> None:
    shown = {cells[0].strip("`"): cells[1] for cells in rows_between("outcomes", "end of outcomes")}
    assert shown == {outcome: "yes" if is_charged else "no" for outcome, is_charged in charges.IS_CHARGED.items()}


def test_every_invariant_has_its_tests_or_says_that_it_has_none() -> None:
    rows = rows_between("invariants", "end of invariants")
    assert [cells[0] for cells in rows] == [str(number) for number in range(1, INVARIANTS + 1)]
    silent = [cells[0] for cells in rows if not NAMED.search(cells[2]) and "not tested:" not in cells[2]]
    assert silent == []


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED.findall(TEXT))))
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in names_in(file)


@pytest.mark.parametrize(
    ("said", "is_so"),
    [
        ("365th day", LOT_LIFE_DAYS == 365),
        ("60 s of grace", HOLD_GRACE_MS == 60_000),
        ("a fact within 30 days", EXPIRED_KEPT_MS == 30 * 86_400_000),
        ("5 % of it or $0.01", (OVERRUN_DIVISOR, OVERRUN_NUSD_MIN) == (20, 10_000_000)),
        ("does not answer for 0.4 s", writer.STALLED_S == 0.4),
        ("more than 5 minutes", clockguard.JUMP_US == 300_000_000),
        ("exit code 75", service.FENCED_EXIT == 75),
        ("silent for 5 s", members.LEASE_S == 5.0),
        ("groups of eight", subjects.JOURNAL_GROUPS == 8),
    ],
)
def test_the_limits_are_those_of_the_code(said: str, is_so: bool) -> None:
    assert said in TEXT
    assert is_so
