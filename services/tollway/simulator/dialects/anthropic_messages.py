"""Anthropic messages, JSON and SSE, and the counting of tokens.

Source: Anthropic API reference, Messages and Streaming Messages, June 2026. `input_tokens` is without what was read
from or written to a cache.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

from tollway.simulator.answer import Answer, Count, Finish, Part, Usage
from tollway.simulator.ask import BYTES_PER_MEDIA, SEARCHES_UNLIMITED, Ask, size_bytes, sizes_bytes
from tollway.simulator.frames import Frame, Reply, encode, event

FINISHES: dict[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "calls": "tool_use",
    "filter": "refusal",
}

PING = event("ping", {"type": "ping"})
SIGNATURE = "c2lnbmVkIGJ5IHRoZSBzaW11bGF0b3I="


class _Block(Struct):
    type: str
    text: str = ""
    thinking: str = ""
    name: str = ""
    input: Any = None
    content: "str | list[_Block] | None" = None


class _Message(Struct):
    role: str
    content: str | list[_Block]


class _Tool(Struct):
    name: str
    type: str = "custom"
    max_uses: int | None = None


class _Format(Struct):
    type: str
    schema: Any = None


class _OutputConfig(Struct):
    format: _Format | None = None


class _Counted(Struct):
    model: str
    messages: list[_Message]
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None


class _Body(_Counted, kw_only=True):
    max_tokens: int
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_counted = msgspec.json.Decoder(_Counted).decode


def read(body: bytes, _model: str = "") -> Ask:
    """Raises `msgspec.DecodeError` if the body is not a messages request; `max_tokens` is required."""
    asked = _decode(body)
    wanted = (asked.output_config and asked.output_config.format) or asked.output_format
    return Ask(
        model=asked.model,
        text=_last_of_user(asked.messages),
        results=tuple(_results(asked.messages)),
        input_bytes=_input_bytes(asked),
        stream=bool(asked.stream),
        tokens_output_max=asked.max_tokens,
        tools=tuple(tool.name for tool in asked.tools or ()),
        stops=tuple(asked.stop_sequences or ()),
        shape="schema" if wanted else "text",
        schema=wanted and wanted.schema,
        searches_max=sum(map(_searches_max, asked.tools or ())),
    )


def _searches_max(tool: _Tool) -> int:
    limit = SEARCHES_UNLIMITED if tool.max_uses is None else tool.max_uses
    return limit if tool.type.startswith("web_search_") else 0


def read_counted(body: bytes, _model: str = "") -> Ask:
    """A `count_tokens` request. Raises `msgspec.DecodeError` if it is none."""
    asked = _decode_counted(body)
    return Ask(model=asked.model, input_bytes=_input_bytes(asked))


def _input_bytes(asked: _Counted) -> int:
    return _content_bytes(asked.system) + sum(_content_bytes(message.content) for message in asked.messages)


def _content_bytes(content: str | list[_Block] | None) -> int:
    return size_bytes(content) if isinstance(content, str) else sum(map(_block_bytes, content or ()))


def _block_bytes(block: _Block) -> int:
    if block.type in _MEDIA:
        return BYTES_PER_MEDIA
    arguments = encode(block.input) if block.input is not None else b""
    said = sizes_bytes((block.text, block.thinking, block.name)) + len(arguments)
    return said + _content_bytes(block.content)


_MEDIA = ("image", "document")


def _blocks(message: _Message) -> list[_Block]:
    return [_Block("text", message.content)] if isinstance(message.content, str) else message.content


def _last_of_user(messages: list[_Message]) -> str:
    said = (_text(_blocks(message)) for message in reversed(messages) if message.role == "user")
    return next(filter(None, said), "")


def _text(blocks: list[_Block]) -> str:
    return "".join(block.text for block in blocks if block.type == "text")


def _results(messages: list[_Message]) -> Iterator[str]:
    last = messages[-1] if messages else None
    for block in _blocks(last) if last and last.role == "user" else ():
        if block.type == "tool_result":
            content = block.content or ""
            yield content if isinstance(content, str) else _text(content)


# --- JSON -------------------------------------------------------------------------------------------------------------


def whole(reply: Reply) -> bytes:
    content = [_WHOLE[part.kind](reply, index, part) for index, part in enumerate(reply.answer.parts)]
    answer = reply.answer
    usage = {"usage": {**_usage(answer.usage, answer.usage.output), **_searched(answer)}} if answer.usage else {}
    return encode({**_head(reply), "content": content, **_stop(reply), **usage})


def whole_counted(reply: Reply) -> bytes:
    return encode({"input_tokens": reply.answer.tokens_input})


def _head(reply: Reply) -> dict[str, Any]:
    return {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": reply.model}


def _stop(reply: Reply) -> dict[str, Any]:
    reason = "stop_sequence" if reply.answer.stop else reply.answer.finish and FINISHES[reply.answer.finish]
    return {"stop_reason": reason, "stop_sequence": reply.answer.stop}


def _text_block(_reply: Reply, _index: int, part: Part) -> dict[str, Any]:
    return {"type": "text", "text": part.text}


def _thinking_block(_reply: Reply, _index: int, part: Part) -> dict[str, Any]:
    return {"type": "thinking", "thinking": part.text, "signature": SIGNATURE}


def _call_block(reply: Reply, index: int, part: Part) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{reply.id}_{index}", "name": part.name, "input": _arguments(part.text)}


def _arguments(text: str) -> Any:
    """The arguments as an object; those cut by the output limit are none any more."""
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {}


_WHOLE = {"text": _text_block, "reasoning": _thinking_block, "call": _call_block}


def _usage(usage: Usage, output: Count) -> dict[str, Any]:
    return {
        "input_tokens": _uncached(usage),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        **_thinking(usage),
        "service_tier": "standard",
    }


def _thinking(usage: Usage) -> dict[str, Any]:
    return {"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else {}


def _searched(answer: Answer) -> dict[str, Any]:
    return {"server_tool_use": {"web_search_requests": answer.searches}} if answer.searches else {}


def _uncached(usage: Usage) -> Count:
    """Input that no cache had a part in; a lie is told as it is."""
    if not isinstance(usage.input, int):
        return usage.input
    return usage.input - cast("int", usage.cache_read) - cast("int", usage.cache_write)


# --- SSE --------------------------------------------------------------------------------------------------------------


def frames(reply: Reply) -> Iterator[Frame]:
    """`message_start`, the blocks with a ping in the first, `message_delta`, `message_stop`."""
    yield Frame("open", event("message_start", {"type": "message_start", "message": _started(reply)}))
    for index, part in enumerate(reply.answer.parts):
        yield from _block_frames(reply, index, part)
    yield Frame("end", event("message_delta", {"type": "message_delta", "delta": _stop(reply), **_final(reply)}))
    yield Frame("end", event("message_stop", {"type": "message_stop"}))


def _started(reply: Reply) -> dict[str, Any]:
    usage = {"usage": _usage(reply.answer.usage, 1)} if reply.answer.usage else {}
    return {**_head(reply), "content": [], "stop_reason": None, "stop_sequence": None, **usage}


def _final(reply: Reply) -> dict[str, Any]:
    usage = reply.answer.usage
    if usage is None:
        return {}
    return {
        "usage": {
            "input_tokens": _uncached(usage),
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read,
            "output_tokens": usage.output,
            **_thinking(usage),
            **_searched(reply.answer),
        }
    }


def _block_frames(reply: Reply, index: int, part: Part) -> Iterator[Frame]:
    block = _STARTS[part.kind](reply, index, part)
    start = {"type": "content_block_start", "index": index, "content_block": block}
    kind = "content" if part.kind == "call" else "open"
    yield Frame(kind, event("content_block_start", start), size_bytes(part.name))
    if index == 0:
        yield Frame("open", PING)
    yield from _deltas(index, part)
    yield Frame("open", event("content_block_stop", {"type": "content_block_stop", "index": index}))


def _deltas(index: int, part: Part) -> Iterator[Frame]:
    before, after = _DELTAS[part.kind]
    before = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b' % (index, before)
    for piece in part.pieces:
        yield Frame("content", before + encode(piece) + b"}}\n\n", size_bytes(piece))
    if after:
        yield Frame("open", event("content_block_delta", {"type": "content_block_delta", "index": index, **after}))


_STARTS: dict[str, Callable[[Reply, int, Part], dict[str, Any]]] = {
    "text": lambda _reply, _index, _part: {"type": "text", "text": ""},
    "reasoning": lambda _reply, _index, _part: {"type": "thinking", "thinking": "", "signature": ""},
    "call": lambda reply, index, part: {**_call_block(reply, index, part), "input": {}},
}

_DELTAS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "text": (b'{"type":"text_delta","text":', {}),
    "reasoning": (
        b'{"type":"thinking_delta","thinking":',
        {"delta": {"type": "signature_delta", "signature": SIGNATURE}},
    ),
    "call": (b'{"type":"input_json_delta","partial_json":', {}),
}
"""Kind of part → how a delta begins, and the delta that closes the block."""


def failed(reply: Reply, error: dict[str, Any], _sent: int) -> bytes:
    """An error inside the stream."""
    del reply
    return event("error", error)
