"""The smallest valid instance of a JSON schema."""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

Schema = Mapping[str, Any]

_DEPTH_MAX = 32

_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def minimal(schema: Any) -> Any:
    """An instance with only what is required. A `pattern` is not solved: the string is then merely long enough."""
    root = _schema(schema)
    return _instance(root, root, 0)


def _schema(value: Any) -> Schema:
    return cast("Schema", value) if isinstance(value, Mapping) else {}


def _instance(schema: Schema, root: Schema, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        return None
    for keyword, answer in _SHORTCUTS.items():
        if keyword in schema:
            return answer(schema, root, depth + 1)
    return _TYPES.get(_type(schema), _null)(schema, root, depth + 1)


def _type(schema: Schema) -> str:
    named: Any = schema.get("type", "object" if "properties" in schema else "string")
    first = cast("list[str]", named)[0] if isinstance(named, list) else str(named)
    return first.lower()


def _referred(schema: Schema, root: Schema, depth: int) -> Any:
    return _instance(_resolved(schema, root), root, depth)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow a `$ref` inside the same document."""
    if "$ref" not in schema:
        return schema
    found = root
    for step in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
        found = _schema(found.get(step)) if step else found
    return found


def _merged(schema: Schema, root: Schema, depth: int) -> Any:
    whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in map(_schema, schema["allOf"]):
        resolved = _resolved(part, root)
        properties = {**_schema(whole.get("properties")), **_schema(resolved.get("properties"))}
        required = [*whole.get("required", ()), *resolved.get("required", ())]
        whole = {**whole, **resolved, "properties": properties, "required": required}
    return _instance(whole, root, depth)


def _object(schema: Schema, root: Schema, depth: int) -> Any:
    properties = _schema(schema.get("properties"))
    return {name: _instance(_schema(properties.get(name)), root, depth) for name in schema.get("required", ())}


def _array(schema: Schema, root: Schema, depth: int) -> Any:
    item = _schema(schema.get("items"))
    return [_instance(item, root, depth) for _ in range(int(schema.get("minItems", 0)))]


def _string(schema: Schema, root: Schema, depth: int) -> Any:
    del root, depth
    return _FORMATS.get(str(schema.get("format")), "").ljust(int(schema.get("minLength", 0)), "x")


def _number(schema: Schema, root: Schema, depth: int) -> Any:
    del root, depth
    step = schema.get("multipleOf", 1)
    return math.ceil(max(_lowest(schema), min(0, _highest(schema))) / step) * step


def _lowest(schema: Schema) -> float:
    return max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + 1)


def _highest(schema: Schema) -> float:
    return min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - 1)


def _boolean(schema: Schema, root: Schema, depth: int) -> Any:
    del schema, root, depth
    return False


def _null(schema: Schema, root: Schema, depth: int) -> Any:
    del schema, root, depth


_SHORTCUTS: dict[str, Callable[[Schema, Schema, int], Any]] = {
    "const": lambda schema, _root, _depth: schema["const"],
    "enum": lambda schema, _root, _depth: schema["enum"][0],
    "$ref": _referred,
    "allOf": _merged,
    "anyOf": lambda schema, root, depth: _instance(_schema(schema["anyOf"][0]), root, depth),
    "oneOf": lambda schema, root, depth: _instance(_schema(schema["oneOf"][0]), root, depth),
}
"""Keywords that decide the instance by themselves, strongest first."""

_TYPES: dict[str, Callable[[Schema, Schema, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
}
"""JSON schema's types; Gemini writes them in capitals."""
