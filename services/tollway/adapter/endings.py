"""How a stream is ended by us, in good order, when the credit for its output is used up: as its dialect says that an
output limit was reached. Written from the first and the last events that the client got.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import msgspec

from tollway.wire.plan import DialectName

Event = dict[str, Any]

_any: Final = msgspec.json.Decoder()


def length_ending(dialect: DialectName, begin: bytes, tail: bytes, tokens_output: int) -> bytes | None:
    """The frames that end a stream which began and last went on like this; None for a dialect that has no streams."""
    writer = _WRITERS.get(dialect)
    if writer is None:
        return None
    return writer(list(_events(begin.splitlines())), list(_events(tail.splitlines())), tokens_output)


def _events(lines: Iterable[bytes]) -> Iterable[Event]:
    """The events that read as JSON; the first line of a tail may be half a one."""
    for line in lines:
        if line.startswith(b"data:"):
            try:
                found = _any.decode(line[5:].strip())
            except msgspec.DecodeError:
                continue
            if isinstance(found, dict):
                yield cast("Event", found)


def _frame(event: Event, name: str = "") -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + msgspec.json.encode(event) + b"\n\n"


def _kept(events: list[Event]) -> Event:
    """What names the answer in every chunk of OpenAI's."""
    return {name: events[0][name] for name in ("id", "object", "created", "model") if events and name in events[0]}


def _chat(begin: list[Event], _tail: list[Event], _tokens: int) -> bytes:
    choices: list[Event] = [{"index": 0, "delta": {}, "finish_reason": "length"}]
    event = {"object": "chat.completion.chunk", **_kept(begin), "choices": choices}
    return _frame(event) + b"data: [DONE]\n\n"


def _completions(begin: list[Event], _tail: list[Event], _tokens: int) -> bytes:
    choices: list[Event] = [{"index": 0, "text": "", "finish_reason": "length"}]
    return _frame({"object": "text_completion", **_kept(begin), "choices": choices}) + b"data: [DONE]\n\n"


def _messages(_begin: list[Event], tail: list[Event], tokens: int) -> bytes:
    """The block that is open is closed; then why, and the end."""
    blocks = [event for event in tail if str(event.get("type", "")).startswith("content_block_")]
    closed = b""
    if blocks and blocks[-1]["type"] != "content_block_stop":
        closed = _frame({"type": "content_block_stop", "index": blocks[-1].get("index", 0)}, "content_block_stop")
    delta = {"stop_reason": "max_tokens", "stop_sequence": None}
    ended = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}}
    return closed + _frame(ended, "message_delta") + _frame({"type": "message_stop"}, "message_stop")


def _responses(begin: list[Event], tail: list[Event], tokens: int) -> bytes:
    """`response.incomplete`. Its output is empty: the client has it from the events before."""
    found = [cast("Event", event["response"]) for event in begin if isinstance(event.get("response"), dict)]
    numbers = [event["sequence_number"] for event in tail if isinstance(event.get("sequence_number"), int)]
    cut: Event = {
        **(found[0] if found else {}),
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": {"input_tokens": 0, "output_tokens": tokens, "total_tokens": tokens},
    }
    number = max(numbers, default=0) + 1
    event: Event = {"type": "response.incomplete", "sequence_number": number, "response": cut}
    return _frame(event, "response.incomplete")


_WRITERS: Final[dict[DialectName, Callable[[list[Event], list[Event], int], bytes]]] = {
    "openai_chat": _chat,
    "openai_completions": _completions,
    "anthropic_messages": _messages,
    "openai_responses": _responses,
}
