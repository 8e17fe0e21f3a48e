"""How a stream is ended by us, in good order, when the credit for its output is used up: as its dialect says that an
output limit was reached. None where a dialect has no such ending that could be written without the stream's state.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from tollway.wire.plan import DialectName

_any: Final = msgspec.json.Decoder()


def length_ending(dialect: DialectName, tail: bytes) -> bytes | None:
    """The frames that end a stream whose last bytes were `tail`."""
    writer = _WRITERS.get(dialect)
    return writer(_last(tail)) if writer is not None else None


def _last(tail: bytes) -> dict[str, Any]:
    """The last event that reads as JSON."""
    for line in reversed(tail.splitlines()):
        if line.startswith(b"data:"):
            try:
                found = _any.decode(line[5:].strip())
            except msgspec.DecodeError:
                continue
            if isinstance(found, dict):
                return cast("dict[str, Any]", found)
    return {}


def _frame(document: dict[str, Any], event: str = "") -> bytes:
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + msgspec.json.encode(document) + b"\n\n"


def _chat(last: dict[str, Any]) -> bytes:
    choices: list[dict[str, Any]] = [{"index": 0, "delta": {}, "finish_reason": "length"}]
    kept = {name: last[name] for name in ("id", "object", "created", "model") if name in last}
    return _frame({"object": "chat.completion.chunk", **kept, "choices": choices}) + b"data: [DONE]\n\n"


def _completions(last: dict[str, Any]) -> bytes:
    choices = [{"index": 0, "text": "", "finish_reason": "length"}]
    kept = {name: last[name] for name in ("id", "object", "created", "model") if name in last}
    return _frame({"object": "text_completion", **kept, "choices": choices}) + b"data: [DONE]\n\n"


def _messages(last: dict[str, Any]) -> bytes:
    closed = b""
    if last.get("type") in ("content_block_delta", "content_block_start"):
        closed = _frame({"type": "content_block_stop", "index": last.get("index", 0)}, "content_block_stop")
    delta = {"stop_reason": "max_tokens", "stop_sequence": None}
    ended = _frame({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 0}}, "message_delta")
    return closed + ended + _frame({"type": "message_stop"}, "message_stop")


_WRITERS: Final[dict[DialectName, Callable[[dict[str, Any]], bytes]]] = {
    "openai_chat": _chat,
    "openai_completions": _completions,
    "anthropic_messages": _messages,
}
