"""Minimal instances, judged by a JSON schema validator."""

from typing import Any

import jsonschema_rs
import pytest

from tollway.simulator.schema import minimal

PERSON = {
    "type": "object",
    "required": ["name", "age", "tags", "kind", "born", "home", "note"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 3},
        "age": {"type": "integer", "minimum": 18, "multipleOf": 5},
        "tags": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/tag"}},
        "kind": {"enum": ["a", "b"]},
        "born": {"type": "string", "format": "date-time"},
        "home": {"anyOf": [{"$ref": "#/$defs/home"}, {"type": "null"}]},
        "note": {"type": ["string", "null"]},
        "left_out": {"type": "string"},
    },
    "$defs": {
        "tag": {"type": "string", "minLength": 1},
        "home": {"type": "object", "required": ["city", "is_far"], "properties": {"is_far": {"type": "boolean"}}},
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        PERSON,
        {"type": "string"},
        {"type": "integer", "exclusiveMinimum": 4},
        {"type": "number", "maximum": -3},
        {"const": 7},
        {"type": "null"},
        {
            "allOf": [
                {"type": "object", "required": ["a"]},
                {"properties": {"a": {"type": "boolean"}}, "required": ["b"]},
            ]
        },
        {"oneOf": [{"type": "array", "items": {}}, {"type": "string"}]},
        {},
    ],
)
def test_the_instance_is_valid(schema: Any) -> None:
    jsonschema_rs.validate(schema, minimal(schema))


def test_only_what_is_required_is_there() -> None:
    assert minimal({"type": "object", "properties": {"a": {"type": "string"}}}) == {}


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}
    assert minimal(node)


def test_gemini_writes_its_types_in_capitals() -> None:
    schema = {"type": "OBJECT", "required": ["n"], "properties": {"n": {"type": "INTEGER"}}}
    assert minimal(schema) == {"n": 0}
