"""JSON bodies: limits, errors that name a path, and top-level fields changed without touching the rest.

Values are kept as raw bytes, so number formats, unknown fields and the order of keys survive an edit.
"""

import json
import re
from collections.abc import Collection
from typing import Any, Final, TypeVar, cast

import msgspec

from tollway.wire.refusals import Refusal, refuse

DEPTH_MAX: Final = 64
MESSAGES_MAX: Final = 10_000

Fields = dict[str, msgspec.Raw]
T = TypeVar("T")

_fields: Final = msgspec.json.Decoder(Fields)
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PATH: Final = re.compile(r" - at `(?:key in )?\$\.?(.*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(.+?)`")


def invalid(message: str, param: str | None = None) -> Refusal:
    """The refusal of a body; the path leads the sentence."""
    return refuse("invalid_request_body", f"{param}: {message}" if param else message, param=param)


_TOO_DEEP: Final = invalid(f"The body is nested deeper than {DEPTH_MAX} levels.")


def read_fields(body: bytes) -> Fields | Refusal:
    """The top level of an object, values untouched. Refused: not UTF-8, not an object, too deep, a key twice."""
    if not body.isascii() and not is_utf8(body):
        return invalid("The body is not valid UTF-8.")
    try:
        fields = _fields.decode(body)
    except msgspec.ValidationError:
        return invalid("The body must be a JSON object.")
    except RecursionError:
        return _TOO_DEEP
    except msgspec.DecodeError as error:
        return invalid(f"The body is not valid JSON: {_reason(error)}.")
    if is_deep(body):
        return _TOO_DEEP
    twice = _duplicate(body, fields)
    return invalid("The key is given twice.", twice) if twice is not None else fields


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T | Refusal:
    """Decode by type; the refusal names the path of what does not fit."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        return _misfit(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return invalid(f"The body is not valid JSON: {_reason(error)}.")


def decode_turns(decoder: msgspec.json.Decoder[T], body: bytes, *, turns: str, kinds: Collection[str]) -> T | Refusal:
    """`decode`, but blind to the insides of parts whose `type` is not among `kinds`: there a field that we know by name
    may be of another type. `turns`: the top-level field that has the parts. Costs nothing where the body fits.
    """
    read = decode(decoder, body)
    if not isinstance(read, Refusal):
        return read
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return read
    if not isinstance(found, dict) or turns not in found:
        return read
    whole = cast("dict[str, Any]", found)
    again = decode(decoder, json.dumps({**whole, turns: _hollowed(whole[turns], kinds)}).encode())
    return read if isinstance(again, Refusal) else again


def _hollowed(value: Any, kinds: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_hollowed(inner, kinds) for inner in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Any]", value)
    kind = found.get("type")
    if isinstance(kind, str) and kind not in kinds:
        return {"type": kind}
    return {name: _hollowed(inner, kinds) for name, inner in found.items()}


def fits(decoder: msgspec.json.Decoder[T], body: bytes) -> bool:
    """Whether this body is of the decoder's type."""
    try:
        decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def join_fields(fields: Fields) -> bytes:
    """The object again, compact between its top-level values."""
    return msgspec.json.encode(fields)


def compact(raw: msgspec.Raw) -> str:
    """A JSON value as text without white space: providers print answers prettily and stream them tightly."""
    return msgspec.json.format(bytes(raw), indent=-1).decode()


def read_object(arguments: str) -> msgspec.Raw | dict[str, object]:
    """The arguments as an object; the model's broken JSON is given back as a string in one."""
    try:
        is_object = isinstance(msgspec.json.decode(arguments or "{}"), dict)
    except msgspec.DecodeError:
        is_object = False
    return msgspec.Raw(arguments.encode() or b"{}") if is_object else {"arguments": arguments}


def is_utf8(data: bytes) -> bool:
    """Whether these bytes are text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_deep(body: bytes) -> bool:
    """Whether arrays and objects nest beyond DEPTH_MAX. Most bodies are judged by one pass over their brackets."""
    brackets = body.translate(None, _NOT_BRACKETS)
    return len(brackets) > DEPTH_MAX and _is_nested(brackets) and _is_nested(_brackets_outside_strings(body))


def _is_nested(brackets: bytes) -> bool:
    for _ in range(DEPTH_MAX):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
    return True


def _brackets_outside_strings(body: bytes) -> bytes:
    return _STRING.sub(b"", body).translate(None, _NOT_BRACKETS)


def _duplicate(body: bytes, fields: Fields) -> str | None:
    """A top-level key that is given twice. Compact and default-spaced bodies are cleared by comparing lengths."""
    again = join_fields(fields)
    if len(again) == len(body) or _spaced(fields) == body:
        return None
    return _duplicate_by_pairs(body)


def _spaced(fields: Fields) -> bytes:
    pairs = (b"%b: %b" % (msgspec.json.encode(key), bytes(value)) for key, value in fields.items())
    return b"{" + b", ".join(pairs) + b"}"


class _Pairs(list[tuple[str, Any]]):
    """An object with its keys as they stand."""


def _duplicate_by_pairs(body: bytes) -> str | None:
    pairs = json.loads(body, object_pairs_hook=_Pairs)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return None


def _misfit(error: str) -> Refusal:
    where = _PATH.search(error)
    path = where.group(1) if where else ""
    what = error[: where.start()] if where else error
    missing = _MISSING.search(what)
    if missing:
        path = f"{path}.{missing.group(1)}".lstrip(".")
        what = "This field is required"
    return invalid(f"{what}.", path or None)


def _reason(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ").rstrip(".")


REPAIRED_BYTES_MAX: Final = 4 * 1024 * 1024
"""Reading more with the standard library would hold up everybody else."""


def repaired(body: bytes) -> bytes | None:
    """JSON with NaN and Infinity, which no dialect allows, rewritten with null; None if it is not even that."""
    if len(body) > REPAIRED_BYTES_MAX:
        return None
    try:
        value = json.loads(body, parse_constant=_null)
    except (ValueError, RecursionError):
        return None
    return msgspec.json.encode(value)


def _null(_constant: str) -> None:
    return None
