"""OpenAI responses, JSON and the typed events.

Source: OpenAI API reference, Responses and its streaming events, June 2026.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from tollway.simulator.answer import Part, Usage
from tollway.simulator.ask import BYTES_PER_MEDIA, OPENAI_SHAPES, SEARCHES_UNLIMITED, Ask, size_bytes, sizes_bytes
from tollway.simulator.frames import Frame, FrameKind, Reply, encode, event


class _Content(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(Struct):
    type: str = "message"
    role: str = ""
    content: str | list[_Content] | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[_Content] | None = None
    summary: list[_Content] | None = None


class _Tool(Struct):
    type: str = ""
    name: str = ""


class _Format(Struct):
    type: str = "text"
    schema: Any = None


class _Text(Struct):
    format: _Format | None = None


class _Body(Struct):
    model: str
    input: str | list[_Item] = ""
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    tools: list[_Tool] | None = None
    max_tool_calls: int | None = None
    text: _Text | None = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_echoed = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of the request that come back in the response, and what they are if not given."""


def read(body: bytes, _model: str = "") -> Ask:
    """Raises `msgspec.DecodeError` if the body is not a responses request."""
    asked = _decode(body)
    items = [_Item(role="user", content=asked.input)] if isinstance(asked.input, str) else asked.input
    wanted = (asked.text and asked.text.format) or _Format()
    given = _decode_echoed(body)
    return Ask(
        model=asked.model,
        text=next((_text(item.content) for item in reversed(items) if item.role == "user"), ""),
        results=tuple(_results(items)),
        input_bytes=size_bytes(asked.instructions or "") + sum(map(_item_bytes, items)),
        stream=bool(asked.stream),
        is_usage_asked=True,
        tokens_output_max=asked.max_output_tokens,
        tools=tuple(tool.name for tool in asked.tools or ()),
        shape=OPENAI_SHAPES.get(wanted.type, "text"),
        schema=wanted.schema,
        echoed={name: given.get(name, default) for name, default in _ECHOED.items()},
        searches_max=_searches_max(asked),
    )


def _searches_max(asked: _Body) -> int:
    limit = SEARCHES_UNLIMITED if asked.max_tool_calls is None else asked.max_tool_calls
    return limit if any(tool.type == "web_search" for tool in asked.tools or ()) else 0


def _text(content: str | list[_Content] | None) -> str:
    return content if isinstance(content, str) else "".join(part.text or "" for part in content or ())


def _results(items: list[_Item]) -> list[str]:
    found: list[str] = []
    for item in reversed(items):
        if item.type != "function_call_output":
            break
        found.insert(0, _text(item.output))
    return found


def _item_bytes(item: _Item) -> int:
    said = sizes_bytes((item.name or "", item.arguments or ""))
    return said + sum(map(_content_bytes, (item.content, item.output, item.summary)))


def _content_bytes(content: str | list[_Content] | None) -> int:
    return size_bytes(content) if isinstance(content, str) else sum(map(_part_bytes, content or ()))


def _part_bytes(part: _Content) -> int:
    is_said = part.text is not None or part.refusal is not None
    return sizes_bytes((part.text or "", part.refusal or "")) if is_said else BYTES_PER_MEDIA


# --- the response object ----------------------------------------------------------------------------------------------

_INCOMPLETE = {"length": "max_output_tokens", "filter": "content_filter"}


def whole(reply: Reply) -> bytes:
    return encode(_response(reply, _status(reply), _items(reply)))


def _status(reply: Reply) -> str:
    if reply.answer.finish is None:
        return "in_progress"
    return "incomplete" if reply.answer.finish in _INCOMPLETE else "completed"


def _response(reply: Reply, status: str, output: list[Any], error: Any = None) -> dict[str, Any]:
    is_over = status in ("completed", "incomplete")
    usage = _usage(reply.answer.usage) if is_over and reply.answer.usage else None
    reason = _INCOMPLETE.get(reply.answer.finish or "") if status == "incomplete" else None
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": reply.created_s,
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": reply.model,
        "output": output,
        "usage": usage,
        **(reply.ask.echoed or {}),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def _items(reply: Reply) -> list[dict[str, Any]]:
    last = len(reply.answer.parts) - 1
    return _searches(reply) + [
        _ITEMS[part.kind](reply, index, part, "incomplete" if index == last and _is_cut(reply) else "completed")
        for index, part in enumerate(reply.answer.parts)
    ]


def _searches(reply: Reply) -> list[dict[str, Any]]:
    """Searches that were made before anything was said."""
    action = {"type": "search", "query": reply.ask.text}
    return [
        {"id": f"ws_{reply.id}_{number}", "type": "web_search_call", "status": "completed", "action": action}
        for number in range(reply.answer.searches)
    ]


def _is_cut(reply: Reply) -> bool:
    return _status(reply) == "incomplete"


def _message(reply: Reply, index: int, part: Part, status: str) -> dict[str, Any]:
    content = [] if status == "in_progress" else [_output_text(part.text)]
    return {**_item(reply, index, part), "status": status, "role": "assistant", "content": content}


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _reasoning(reply: Reply, index: int, part: Part, status: str) -> dict[str, Any]:
    return {**_item(reply, index, part), "summary": [] if status == "in_progress" else [_summary(part.text)]}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def _call(reply: Reply, index: int, part: Part, status: str) -> dict[str, Any]:
    arguments = "" if status == "in_progress" else part.text
    return {
        **_item(reply, index, part),
        "status": status,
        "arguments": arguments,
        "call_id": f"call_{reply.id}_{index}",
        "name": part.name,
    }


_TYPES = {"text": ("msg", "message"), "reasoning": ("rs", "reasoning"), "call": ("fc", "function_call")}
_ITEMS = {"text": _message, "reasoning": _reasoning, "call": _call}


def _item(reply: Reply, index: int, part: Part) -> dict[str, Any]:
    prefix, kind = _TYPES[part.kind]
    return {"id": f"{prefix}_{reply.id}_{index}", "type": kind}


# --- events -----------------------------------------------------------------------------------------------------------

_Event = tuple[FrameKind, str, dict[str, Any], int]
"""Kind of frame, type of event, fields, bytes of the answer."""


def frames(reply: Reply) -> Iterator[Frame]:
    """Every event of the official sequence, numbered from 0."""
    numbers = count()
    for kind, name, fields, size in _events(reply):
        yield Frame(kind, event(name, {"type": name, "sequence_number": next(numbers), **fields}), size)


def _events(reply: Reply) -> Iterator[_Event]:
    begun = {"response": _response(reply, "in_progress", [])}
    yield "open", "response.created", begun, 0
    yield "open", "response.in_progress", begun, 0
    items = _items(reply)
    for index, item in enumerate(items[: reply.answer.searches]):
        begun_item = {**item, "status": "in_progress", "action": None}
        yield "open", "response.output_item.added", {"output_index": index, "item": begun_item}, 0
        yield "open", "response.output_item.done", {"output_index": index, "item": item}, 0
    for index, part in enumerate(reply.answer.parts, reply.answer.searches):
        started = _ITEMS[part.kind](reply, index - reply.answer.searches, part, "in_progress")
        kind: FrameKind = "content" if part.kind == "call" else "open"
        yield kind, "response.output_item.added", {"output_index": index, "item": started}, size_bytes(part.name)
        yield from _PARTS[part.kind]({"item_id": started["id"], "output_index": index}, part)
        yield "open", "response.output_item.done", {"output_index": index, "item": items[index]}, 0
    yield "end", f"response.{_status(reply)}", {"response": _response(reply, _status(reply), items)}, 0


def _text_events(at: dict[str, Any], part: Part) -> Iterator[_Event]:
    at = {**at, "content_index": 0}
    yield "open", "response.content_part.added", {**at, "part": _output_text("")}, 0
    for piece in part.pieces:
        yield "content", "response.output_text.delta", {**at, "delta": piece, "logprobs": []}, size_bytes(piece)
    yield "open", "response.output_text.done", {**at, "text": part.text, "logprobs": []}, 0
    yield "open", "response.content_part.done", {**at, "part": _output_text(part.text)}, 0


def _reasoning_events(at: dict[str, Any], part: Part) -> Iterator[_Event]:
    at = {**at, "summary_index": 0}
    yield "open", "response.reasoning_summary_part.added", {**at, "part": _summary("")}, 0
    for piece in part.pieces:
        yield "content", "response.reasoning_summary_text.delta", {**at, "delta": piece}, size_bytes(piece)
    yield "open", "response.reasoning_summary_text.done", {**at, "text": part.text}, 0
    yield "open", "response.reasoning_summary_part.done", {**at, "part": _summary(part.text)}, 0


def _call_events(at: dict[str, Any], part: Part) -> Iterator[_Event]:
    for piece in part.pieces:
        yield "content", "response.function_call_arguments.delta", {**at, "delta": piece}, size_bytes(piece)
    done = {**at, "name": part.name, "arguments": part.text}
    yield "open", "response.function_call_arguments.done", done, 0


_PARTS = {"text": _text_events, "reasoning": _reasoning_events, "call": _call_events}


def failed(reply: Reply, error: dict[str, Any], sent: int) -> bytes:
    """An `error` event and `response.failed`, numbered after the `sent` events before them."""
    cell = error["error"]
    code, message = cell["code"] or cell["type"], cell["message"]
    said = {"type": "error", "sequence_number": sent, "code": code, "message": message, "param": cell["param"]}
    response = _response(reply, "failed", [], {"code": code, "message": message})
    ended = {"type": "response.failed", "sequence_number": sent + 1, "response": response}
    return event("error", said) + event("response.failed", ended)
