"""What commands print: tables for people, JSON for scripts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Columns = Mapping[str, str]
"""Heading by path of a field (`accessKeyConfiguration.name`)."""


def print_json(value: Any) -> None:
    """As the API said it."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(rows: Sequence[Row], columns: Columns, *, as_json: bool) -> None:
    """A table with a heading, or a JSON array."""
    if as_json:
        print_json(rows)
        return
    lines = [list(columns.values()), *([one_line(_at(row, path)) for path in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_one(row: Row, *, as_json: bool) -> None:
    """One thing, a field to a line."""
    if as_json:
        print_json(row)
        return
    width = max(map(len, row), default=0)
    for name, value in row.items():
        print(f"{name.ljust(width)}  {one_line(value)}".rstrip())


def _at(row: Any, path: str) -> Any:
    for name in path.split("."):
        row = row.get(name) if isinstance(row, Mapping) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]  any JSON
    return row  # pyright: ignore[reportUnknownVariableType]


def one_line(value: Any) -> str:
    """One line, with what could move a terminal's cursor taken out: names are other people's text."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else "?" for char in text)


def only_given(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Fields of a body: those that were given; the word `null` clears."""
    return {name: None if value == "null" else value for name, value in fields if value is not None}
