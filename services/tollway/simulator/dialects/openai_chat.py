"""OpenAI chat completions, JSON and SSE.

Source: OpenAI API reference, chat completions and chat completion chunks, June 2026. Reasoning text is in
`reasoning_content`, which OpenAI itself does not send but DeepSeek, vLLM and others do.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from tollway.simulator.answer import Finish, Part, Usage
from tollway.simulator.ask import BYTES_PER_MEDIA, OPENAI_SHAPES, Ask, size_bytes, sizes_bytes, stop_list
from tollway.simulator.frames import Frame, Reply, encode

FINISHES: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "calls": "tool_calls",
    "filter": "content_filter",
}


class _Function(Struct):
    name: str = ""
    arguments: str = ""


class _Tool(Struct):
    function: _Function | None = None
    name: str = ""


class _Content(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Message(Struct):
    role: str
    content: str | list[_Content] | None = None
    tool_calls: list[_Tool] | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _JsonSchema(Struct):
    schema: dict[str, Any] | None = None


class _Format(Struct):
    type: str
    json_schema: _JsonSchema | None = None


class _Body(Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[_Tool] | None = None
    stop: str | list[str] | None = None
    response_format: _Format | None = None
    n: int | None = None
    logprobs: bool | None = None


_decode = msgspec.json.Decoder(_Body).decode


def read(body: bytes, _model: str = "") -> Ask:
    """Raises `msgspec.ValidationError` or `DecodeError` if the body is not a chat completion request."""
    chat = _decode(body)
    return Ask(
        model=chat.model,
        text=_last_of_user(chat.messages),
        results=tuple(_results(chat.messages)),
        input_bytes=sum(map(_message_bytes, chat.messages)),
        stream=bool(chat.stream),
        is_usage_asked=bool(chat.stream_options and chat.stream_options.include_usage),
        tokens_output_max=chat.max_completion_tokens or chat.max_tokens,
        tools=tuple(_tool_name(tool) for tool in chat.tools or ()),
        stops=stop_list(chat.stop),
        shape=OPENAI_SHAPES.get(chat.response_format.type, "text") if chat.response_format else "text",
        schema=chat.response_format and chat.response_format.json_schema and chat.response_format.json_schema.schema,
        choices=chat.n or 1,
        is_logprobs_asked=bool(chat.logprobs),
    )


def _tool_name(tool: _Tool) -> str:
    return tool.function.name if tool.function else tool.name


def _last_of_user(messages: list[_Message]) -> str:
    return next((_text(message) for message in reversed(messages) if message.role == "user"), "")


def _results(messages: list[_Message]) -> list[str]:
    found: list[str] = []
    for message in reversed(messages):
        if message.role not in ("tool", "function"):
            break
        found.insert(0, _text(message))
    return found


def _text(message: _Message) -> str:
    content = message.content or ""
    return content if isinstance(content, str) else "".join(part.text or "" for part in content)


def _message_bytes(message: _Message) -> int:
    content = message.content or ""
    said = size_bytes(content) if isinstance(content, str) else sum(map(_content_bytes, content))
    return said + sum(map(_call_bytes, message.tool_calls or ()))


def _content_bytes(part: _Content) -> int:
    return sizes_bytes((part.text or "", part.refusal or "")) if part.type in _TEXTS else BYTES_PER_MEDIA


_TEXTS = ("", "text", "refusal")


def _call_bytes(call: _Tool) -> int:
    return sizes_bytes((call.function.name, call.function.arguments)) if call.function else 0


# --- JSON -------------------------------------------------------------------------------------------------------------


def whole(reply: Reply) -> bytes:
    choices = [_choice(reply, index) for index in range(reply.ask.choices)]
    usage = {"usage": usage_of(reply.answer.usage)} if reply.answer.usage else {}
    return encode({**_head(reply, "chat.completion"), "choices": choices, **usage})


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{reply.id}",
        "object": kind,
        "created": reply.created_s,
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }


def _choice(reply: Reply, index: int) -> dict[str, Any]:
    finish = reply.answer.finish and FINISHES[reply.answer.finish]
    logprobs = _logprobs(text_of(reply, "text") or "") if reply.ask.is_logprobs_asked else None
    return {"index": index, "message": _message(reply, index), "logprobs": logprobs, "finish_reason": finish}


def _message(reply: Reply, choice: int) -> dict[str, Any]:
    reasoning = text_of(reply, "reasoning")
    calls = [
        {"id": call_id(reply, choice, number), "type": "function", "function": _function(part.name, part.text)}
        for number, part in enumerate(part for part in reply.answer.parts if part.kind == "call")
    ]
    return {
        "role": "assistant",
        "content": text_of(reply, "text"),
        **({"reasoning_content": reasoning} if reasoning is not None else {}),
        "refusal": None,
        "annotations": [],
        **({"tool_calls": calls} if calls else {}),
    }


def text_of(reply: Reply, kind: str) -> str | None:
    """All the text of one kind, None if there is no such part."""
    found = [part.text for part in reply.answer.parts if part.kind == kind]
    return "".join(found) if found else None


def call_id(reply: Reply, choice: int, number: int) -> str:
    return f"call_{reply.id}_{choice}_{number}"


def _function(name: str, arguments: str) -> dict[str, str]:
    return {"name": name, "arguments": arguments}


def _logprobs(text: str) -> dict[str, Any]:
    token = {"token": text, "logprob": -0.1, "bytes": list(text.encode()), "top_logprobs": []}
    return {"content": [token], "refusal": None}


def usage_of(usage: Usage) -> dict[str, Any]:
    """The `usage` object of chat and legacy completions."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


# --- SSE --------------------------------------------------------------------------------------------------------------


def frames(reply: Reply) -> Iterator[Frame]:
    """Role, content, finish for each choice; the usage chunk only if it was asked for; then `[DONE]`."""
    before, after = _wrapping(reply)
    for choice in range(reply.ask.choices):
        for kind, delta, size in _deltas(reply, choice):
            yield Frame(kind, before + _streamed(reply, choice, delta) + after, size)
        yield Frame("end", before + _finished(reply, choice) + after)
    if reply.ask.is_usage_asked and reply.answer.usage:
        yield Frame("end", before + b'],"usage":' + encode(usage_of(reply.answer.usage)) + b"}\n\n")
    yield Frame("end", b"data: [DONE]\n\n")


def _wrapping(reply: Reply) -> tuple[bytes, bytes]:
    """What comes before and after the choice in each chunk: encoded once a stream, not once a chunk."""
    before = b"data: " + encode(_head(reply, "chat.completion.chunk"))[:-1] + b',"choices":['
    return before, b'],"usage":null}\n\n' if reply.ask.is_usage_asked else b"]}\n\n"


def _deltas(reply: Reply, choice: int) -> Iterator[tuple[Any, bytes, int]]:
    content = "" if any(part.kind == "text" for part in reply.answer.parts) else None
    yield "open", encode({"role": "assistant", "content": content, "refusal": None}), 0
    number = -1
    for part in reply.answer.parts:
        number += part.kind == "call"
        yield from _PARTS[part.kind](reply, choice, number, part)


def _text_deltas(_reply: Reply, _choice: int, _number: int, part: Part) -> Iterator[tuple[Any, bytes, int]]:
    for piece in part.pieces:
        yield "content", b'{"content":' + encode(piece) + b"}", size_bytes(piece)


def _reasoning_deltas(_reply: Reply, _choice: int, _number: int, part: Part) -> Iterator[tuple[Any, bytes, int]]:
    for piece in part.pieces:
        yield "content", b'{"reasoning_content":' + encode(piece) + b"}", size_bytes(piece)


def _call_deltas(reply: Reply, choice: int, number: int, part: Part) -> Iterator[tuple[Any, bytes, int]]:
    start = {
        "index": number,
        "id": call_id(reply, choice, number),
        "type": "function",
        "function": _function(part.name, ""),
    }
    yield "content", encode({"tool_calls": [start]}), size_bytes(part.name)
    for piece in part.pieces:
        more = {"index": number, "function": {"arguments": piece}}
        yield "content", encode({"tool_calls": [more]}), size_bytes(piece)


_PARTS = {"text": _text_deltas, "reasoning": _reasoning_deltas, "call": _call_deltas}


def _streamed(reply: Reply, choice: int, delta: bytes) -> bytes:
    logprobs = b'"logprobs":null'
    if reply.ask.is_logprobs_asked and delta.startswith(b'{"content"'):
        logprobs = b'"logprobs":' + encode(_logprobs(msgspec.json.decode(delta)["content"]))
    return b'{"index":%d,"delta":%b,%b,"finish_reason":null}' % (choice, delta, logprobs)


def _finished(reply: Reply, choice: int) -> bytes:
    finish = reply.answer.finish and FINISHES[reply.answer.finish]
    return encode({"index": choice, "delta": {}, "logprobs": None, "finish_reason": finish})


def failed(reply: Reply, error: dict[str, Any], _sent: int) -> bytes:
    """An error inside the stream; nothing follows it, not even `[DONE]`."""
    del reply
    return b"data: " + encode(error) + b"\n\n"
