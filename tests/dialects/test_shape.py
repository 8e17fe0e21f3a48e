"""The dialects are of one shape, and none of them knows another."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import tollway.dialects
from tests.dialects.support import CHAT
from tollway.dialects.bridge import CHAT_DIALECTS, DIALECTS
from tollway.wire.plan import DialectName

ROOT = Path(str(tollway.dialects.__file__)).parent
SAME = {"__init__", "schema", "intake", "request_reader", "request_writer", "answer", "stream"}


def modules(dialect: str) -> list[Path]:
    return sorted((ROOT / dialect).glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("dialect", CHAT)
def test_every_chat_dialect_has_the_same_modules(dialect: DialectName) -> None:
    assert {path.stem for path in modules(dialect)} >= SAME
    assert CHAT_DIALECTS[dialect].name == dialect


@pytest.mark.parametrize("dialect", CHAT)
def test_no_dialect_knows_another(dialect: DialectName) -> None:
    others = {f"tollway.dialects.{other}" for other in CHAT if other != dialect}
    for path in modules(dialect):
        assert not any(name.startswith(other) for name in imported(path) for other in others), path


@pytest.mark.parametrize("dialect", CHAT)
def test_sections_come_in_the_same_order(dialect: DialectName) -> None:
    order = ["in passing", "reading", "writing"]
    for stem in ("answer", "stream"):
        lines = (ROOT / dialect / f"{stem}.py").read_text().splitlines()
        found = [line.strip("# -") for line in lines if line.startswith("# -- ")]
        assert [name for name in found if name in order] == [name for name in order if name in found]
        assert {"reading", "writing"} <= set(found)


def test_no_function_is_long() -> None:
    lengths: list[int] = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                lengths.append(int(node.end_lineno or 0) - node.lineno + 1)
    lengths.sort()
    assert lengths[len(lengths) // 2] <= 8
    assert lengths[len(lengths) * 9 // 10] < 30
    assert lengths[-1] <= 70


def test_every_dialect_is_in_the_table_under_its_name() -> None:
    assert all(dialect.name == name for name, dialect in DIALECTS.items())
    assert all(inspect.isfunction(dialect.intake) for dialect in DIALECTS.values())
