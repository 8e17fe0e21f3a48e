"""How a stream is ended by us, in good order, when the credit for its output is used up: as its dialect says that an
output limit was reached. Written from the first and the last events that the client got.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, cast

import msgspec

from tollway.wire.plan import DialectName

Event = dict[str, Any]

_any: Final = msgspec.json.Decoder()


OUTPUT_BYTES_MAX: Final = 4 * 1024 * 1024


class _Said(msgspec.Struct):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    delta: str = ""
    item: Event | None = None


_said: Final = msgspec.json.Decoder(_Said)


class Output:
    """The output items of a responses stream so far: its last event repeats them, and there may be no room on the way.

    Of more than OUTPUT_BYTES_MAX nothing is kept: the client has it from the events before.
    """

    def __init__(self) -> None:
        self._items: dict[int, Event] = {}
        self._texts: dict[int, dict[int, list[str]]] = {}
        self._size_bytes = 0

    def hear(self, out: bytes) -> None:
        """The client is sent these events."""
        self._size_bytes += len(out)
        if self._size_bytes > OUTPUT_BYTES_MAX:
            return
        for line in out.splitlines():
            if line.startswith(b"data: {"):
                with suppress(msgspec.DecodeError):
                    self._take(_said.decode(line[6:]))

    def _take(self, said: _Said) -> None:
        if said.item is not None:
            self._items[said.output_index] = said.item
            if said.type == "response.output_item.done":
                self._texts.pop(said.output_index, None)
        elif said.type in ("response.output_text.delta", "response.function_call_arguments.delta"):
            self._texts.setdefault(said.output_index, {}).setdefault(said.content_index, []).append(said.delta)

    def items(self) -> list[Event]:
        """In order; the one that was under way is incomplete."""
        if self._size_bytes > OUTPUT_BYTES_MAX:
            return []
        return [self._whole(index) for index in sorted(self._items)]

    def _whole(self, index: int) -> Event:
        item = self._items[index]
        if item.get("status") != "in_progress":
            return item
        texts = ["".join(parts) for _, parts in sorted(self._texts.get(index, {}).items())]
        if item.get("type") == "message":
            content: list[Event] = [
                {"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts
            ]
            return {**item, "status": "incomplete", "content": content}
        said = {"arguments": "".join(texts)} if item.get("type") == "function_call" else {}
        return {**item, "status": "incomplete", **said}


def length_ending(
    dialect: DialectName, begin: bytes, tail: bytes, tokens_output: int, output: Output | None = None
) -> bytes | None:
    """The frames that end a stream which began and last went on like this; None for a dialect that has no streams."""
    begun, last = list(_events(begin.splitlines())), list(_events(tail.splitlines()))
    if dialect == "openai_responses":
        return _responses(begun, last, tokens_output, output.items() if output is not None else [])
    writer = _WRITERS.get(dialect)
    return writer(begun, last, tokens_output) if writer is not None else None


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


def _chat(begin: list[Event], tail: list[Event], _tokens: int) -> bytes:
    """Every choice that was seen is ended."""
    seen = {choice["index"] for event in (*begin, *tail) for choice in event.get("choices") or () if "index" in choice}
    choices: list[Event] = [{"index": index, "delta": {}, "finish_reason": "length"} for index in sorted(seen or {0})]
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


def _responses(begin: list[Event], tail: list[Event], tokens: int, output: list[Event]) -> bytes:
    """`response.incomplete`, with the output so far."""
    found = [cast("Event", event["response"]) for event in begin if isinstance(event.get("response"), dict)]
    numbers = [event["sequence_number"] for event in tail if isinstance(event.get("sequence_number"), int)]
    cut: Event = {
        **(found[0] if found else {}),
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": output,
        "usage": {"input_tokens": 0, "output_tokens": tokens, "total_tokens": tokens},
    }
    number = max(numbers, default=0) + 1
    event: Event = {"type": "response.incomplete", "sequence_number": number, "response": cut}
    return _frame(event, "response.incomplete")


_WRITERS: Final[dict[DialectName, Callable[[list[Event], list[Event], int], bytes]]] = {
    "openai_chat": _chat,
    "openai_completions": _completions,
    "anthropic_messages": _messages,
}
