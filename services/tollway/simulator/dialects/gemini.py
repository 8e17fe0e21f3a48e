"""Gemini: generateContent, streamGenerateContent, embedContent, batchEmbedContents, countTokens.

Source: Gemini API reference v1beta, June 2026. Events end in CRLF, as the real ones do. `candidatesTokenCount` is
without the thoughts; embeddings report no usage.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

from tollway.simulator.answer import Count, Finish, Part, Usage
from tollway.simulator.ask import BYTES_PER_MEDIA, BYTES_PER_TOKEN, Ask, size_bytes, sizes_bytes, tokens
from tollway.simulator.frames import Frame, Reply, encode

from .openai_embeddings import DIMENSIONS, vector

FINISHES: dict[Finish, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "calls": "STOP",
    "filter": "SAFETY",
}


class _Call(Struct):
    name: str = ""
    args: Any = None
    response: Any = None


class _Part(Struct, rename="camel"):
    text: str | None = None
    function_call: _Call | None = None
    function_response: _Call | None = None


class _Content(Struct):
    parts: list[_Part] = []
    role: str = "user"


class _Config(Struct, rename="camel"):
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    candidate_count: int | None = None
    response_mime_type: str | None = None
    response_schema: Any = None
    response_json_schema: Any = None


class _Declaration(Struct):
    name: str


class _Tool(Struct, rename="camel"):
    function_declarations: list[_Declaration] = []


class _Body(Struct, rename="camel"):
    contents: list[_Content]
    system_instruction: _Content | None = None
    generation_config: _Config | None = None
    tools: list[_Tool] | None = None


class _Counted(Struct, rename="camel"):
    contents: list[_Content] = []
    generate_content_request: _Body | None = None


class _Embedded(Struct, rename="camel"):
    content: _Content
    output_dimensionality: int | None = None


class _Batch(Struct):
    requests: list[_Embedded]


_decode = msgspec.json.Decoder(_Body).decode
_decode_counted = msgspec.json.Decoder(_Counted).decode
_decode_embedded = msgspec.json.Decoder(_Embedded).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode


def read(body: bytes, model: str) -> Ask:
    """Raises `msgspec.DecodeError` if the body is not a generateContent request."""
    asked = _decode(body)
    config = asked.generation_config or _Config()
    schema = config.response_json_schema or config.response_schema
    is_json = config.response_mime_type == "application/json"
    return Ask(
        model=model,
        text=_last_of_user(asked.contents),
        results=tuple(_results(asked.contents[-1:])),
        input_bytes=_body_bytes(asked),
        is_usage_asked=True,
        tokens_output_max=config.max_output_tokens,
        tools=tuple(one.name for tool in asked.tools or () for one in tool.function_declarations),
        stops=tuple(config.stop_sequences or ()),
        shape="schema" if schema else "json" if is_json else "text",
        schema=schema,
        choices=config.candidate_count or 1,
    )


def read_streamed(body: bytes, model: str) -> Ask:
    return msgspec.structs.replace(read(body, model), stream=True)


def read_counted(body: bytes, model: str) -> Ask:
    """Raises `msgspec.DecodeError` if the body is not a countTokens request."""
    asked = _decode_counted(body)
    counted = asked.generate_content_request or _Body(asked.contents)
    return Ask(model=model, input_bytes=_body_bytes(counted))


def read_embedded(body: bytes, model: str) -> Ask:
    """Raises `msgspec.DecodeError` if the body is not an embedContent request."""
    return _embedding(model, [_decode_embedded(body)], is_batch=False)


def read_batch(body: bytes, model: str) -> Ask:
    """Raises `msgspec.DecodeError` if the body is not a batchEmbedContents request."""
    return _embedding(model, _decode_batch(body).requests, is_batch=True)


def _embedding(model: str, asked: list[_Embedded], *, is_batch: bool) -> Ask:
    texts = tuple(_text(one.content) for one in asked)
    return Ask(
        model=model,
        inputs=texts,
        input_bytes=sum(tokens(size_bytes(text)) for text in texts) * BYTES_PER_TOKEN,
        is_batch=is_batch,
        dimensions=asked[0].output_dimensionality if asked else None,
    )


def _last_of_user(contents: list[_Content]) -> str:
    return next((_text(one) for one in reversed(contents) if one.role == "user" and _text(one)), "")


def _text(content: _Content) -> str:
    return "".join(part.text or "" for part in content.parts)


def _results(last: list[_Content]) -> list[str]:
    """The function responses of the last content, as JSON."""
    parts = [part.function_response for content in last for part in content.parts]
    return [encode(part.response).decode() for part in parts if part]


def _body_bytes(asked: _Body) -> int:
    system = [asked.system_instruction] if asked.system_instruction else []
    return sum(_part_bytes(part) for content in (*system, *asked.contents) for part in content.parts)


def _part_bytes(part: _Part) -> int:
    call = part.function_call or part.function_response
    if call:
        return size_bytes(call.name) + len(encode(call.args or call.response or {}))
    return BYTES_PER_MEDIA if part.text is None else sizes_bytes((part.text,))


# --- answers ----------------------------------------------------------------------------------------------------------


def whole(reply: Reply) -> bytes:
    if reply.answer.finish == "blocked":
        return encode(_blocked(reply))
    parts = [_part(part, part.text) for part in reply.answer.parts]
    return encode(_response(reply, _candidates(reply, parts), _usage(reply.answer.usage)))


def _blocked(reply: Reply) -> dict[str, Any]:
    """A prompt that the safety filter does not let through: no candidates, and no error status either."""
    count = reply.answer.tokens_input
    return {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": count, "totalTokenCount": count},
        "modelVersion": reply.model,
        "responseId": reply.id,
    }


def _candidates(reply: Reply, parts: list[Any]) -> list[Any]:
    return [_candidate(index, parts, reply.answer.finish) for index in range(reply.ask.choices)]


def _candidate(index: int, parts: list[Any], finish: Finish | None) -> dict[str, Any]:
    ended = {"finishReason": FINISHES[finish]} if finish else {}
    return {"content": {"parts": parts, "role": "model"}, **ended, "index": index}


def _response(reply: Reply, candidates: list[Any], usage: dict[str, Any]) -> dict[str, Any]:
    return {"candidates": candidates, **usage, "modelVersion": reply.model, "responseId": reply.id}


def _part(part: Part, text: str) -> dict[str, Any]:
    return _PARTS[part.kind](part, text)


def _call_part(part: Part, text: str) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        arguments = {}
    return {"functionCall": {"name": part.name, "args": arguments}}


_PARTS: dict[str, Callable[[Part, str], dict[str, Any]]] = {
    "text": lambda _part, text: {"text": text},
    "reasoning": lambda _part, text: {"text": text, "thought": True},
    "call": _call_part,
}


def _usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    counts = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": _visible(usage),
        "totalTokenCount": usage.total,
        **({"cachedContentTokenCount": usage.cache_read} if usage.cache_read else {}),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
        **({"thoughtsTokenCount": usage.reasoning} if usage.reasoning else {}),
    }
    return {"usageMetadata": counts}


def _visible(usage: Usage) -> Count:
    """Output without the thoughts; a lie is told as it is."""
    return usage.output - cast("int", usage.reasoning) if isinstance(usage.output, int) else usage.output


def whole_counted(reply: Reply) -> bytes:
    count = reply.answer.tokens_input
    return encode({"totalTokens": count, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}]})


def whole_embedded(reply: Reply) -> bytes:
    rows = [{"values": vector(text, reply.ask.dimensions or DIMENSIONS).tolist()} for text in reply.ask.inputs]
    return encode({"embeddings": rows} if reply.ask.is_batch else {"embedding": rows[0]})


# --- streams ----------------------------------------------------------------------------------------------------------


def frames(reply: Reply) -> Iterator[Frame]:
    """A response for each piece, then one with the finish reason and the usage."""
    for kind, value, size in _responses(reply):
        yield Frame(kind, b"data: " + encode(value) + b"\r\n\r\n", size)


def array_frames(reply: Reply) -> Iterator[Frame]:
    """The same as one JSON array, which is what comes without `alt=sse`."""
    before = b"["
    for kind, value, size in _responses(reply):
        yield Frame(kind, before + encode(value), size)
        before = b",\r\n"
    yield Frame("end", b"]")


def _responses(reply: Reply) -> Iterator[tuple[Any, dict[str, Any], int]]:
    if reply.answer.finish == "blocked":
        yield "end", _blocked(reply), 0
        return
    begun = _begun(reply.answer.usage)
    for index in range(reply.ask.choices):
        for part in reply.answer.parts:
            for piece in (part.text,) if part.kind == "call" else part.pieces:
                candidate = _candidate(index, [_part(part, piece)], None)
                yield "content", _response(reply, [candidate], begun), size_bytes(part.name) + size_bytes(piece)
    yield "end", _response(reply, _candidates(reply, [{"text": ""}]), _usage(reply.answer.usage)), 0


def _begun(usage: Usage | None) -> dict[str, Any]:
    """The usage that comes with every piece: the input alone."""
    return {"usageMetadata": {"promptTokenCount": usage.input, "totalTokenCount": usage.input}} if usage else {}


def failed(reply: Reply, error: dict[str, Any], _sent: int) -> bytes:
    """An error inside the stream."""
    del reply
    return b"data: " + encode(error) + b"\r\n\r\n"


def array_failed(reply: Reply, error: dict[str, Any], sent: int) -> bytes:
    """An error inside the array."""
    del reply
    return (b",\r\n" if sent else b"[") + encode(error) + b"]"
