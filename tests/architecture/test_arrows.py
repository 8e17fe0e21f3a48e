"""Arrows point one way: services → edge → dialects → wire; services never import each other; the floor is pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "services" / "tollway", ROOT / "libs" / "tollway"]
SERVICES = {"ingress", "auth", "router", "adapter", "ledger", "simulator"}
EDGE = {"bus", "store", "runtime", "telemetry", "settings", "clock", "ids", "tasks", "crash", "remember", "tokens"}
EDGE |= {"sealing", "listing", "listening", "payments"}
ALLOWED: dict[str, set[str]] = {
    "wire": {"wire"},
    "dialects": {"wire", "dialects"},
    "listing": {"wire", "dialects", "listing"},
    **{package: EDGE | {"wire", "dialects"} for package in EDGE - {"listing"}},
    **{service: EDGE | {"wire", "dialects", service} for service in SERVICES},
    # the command line starts services as processes; these few it opens itself, offline
    "cli": EDGE | {"wire", "dialects", "cli", "ledger", "simulator", "auth"},
}
IMPURE = {
    "asyncio", "httpx", "aiohttp", "nats", "os", "random", "requests", "secrets", "socket", "sqlalchemy", "sqlite3",
    "subprocess", "threading", "time",
}  # fmt: skip


def modules() -> list[Path]:
    return [path for source in SOURCES for path in source.rglob("*.py")]


def package_of(path: Path) -> str:
    source = next(source for source in SOURCES if path.is_relative_to(source))
    return path.relative_to(source).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (
                [f"tollway.{alias.name}" for alias in node.names] if node.module == "tollway" else [node.module]
            )


def test_every_import_follows_an_allowed_arrow() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name in imports_of(path)
        if name.startswith("tollway.") and name.split(".")[1] not in ALLOWED[package_of(path)]
    ]
    assert wrong == []


def is_floor(path: Path) -> bool:
    return package_of(path) in {"wire", "dialects"} or path.name == pure_module_of(package_of(path))


def pure_module_of(service: str) -> str:
    """Where a service decides: the adapter's decisions are about attempts, and named so."""
    return "attempts.py" if service == "adapter" else "domain.py"


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in modules() if is_floor(path)]
)
def test_the_floor_is_pure(path: Path) -> None:
    impure = {name for name in imports_of(path) if name.split(".")[0] in IMPURE}
    assert not impure
    edge = {name for name in imports_of(path) if name.startswith("tollway.") and name.split(".")[1] in EDGE}
    assert not edge


def test_subjects_are_strings_in_one_file_only() -> None:
    prefixes = ("hold.j", "credit.j", "usage.j", "witness.j", "ledger.j", "dispatch.", "settled.", "flow.")
    wrong = [
        f"{path.relative_to(ROOT)}: {node.value}"
        for path in modules()
        if path.name != "subjects.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(prefixes)
        and " " not in node.value and "\n" not in node.value
    ]  # fmt: skip
    assert wrong == []


def money_modules() -> list[Path]:
    names = {"money.py", "pricing.py", "credit.py"}
    return [path for path in modules() if path.name in names or package_of(path) == "ledger"]


def test_money_is_never_a_float() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in money_modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if is_float_of_money(node)
    ]
    assert wrong == []


def is_float_of_money(node: ast.AST) -> bool:
    """A name that ends in `_nusd` and is annotated, divided or multiplied as a float."""
    if isinstance(node, (ast.arg, ast.AnnAssign)):
        name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
        note = ast.unparse(node.annotation) if node.annotation is not None else ""
        return name.endswith("_nusd") and "float" in note
    if isinstance(node, ast.BinOp):
        text = ast.unparse(node)
        is_float = isinstance(node.op, ast.Div) or any(
            isinstance(part, ast.Constant) and isinstance(part.value, float) for part in (node.left, node.right)
        )
        return is_float and "_nusd" in text
    return False


def test_every_service_has_the_same_furniture() -> None:
    for service in SERVICES - {"simulator"}:
        room = ROOT / "services" / "tollway" / service
        for name in ("__init__.py", "__main__.py", "handlers.py", pure_module_of(service)):
            assert (room / name).exists(), f"{service} has no {name}"


def test_every_functions_size_is_one_idea() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= 70
    ]
    assert long == []
