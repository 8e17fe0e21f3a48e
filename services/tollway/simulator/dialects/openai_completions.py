"""OpenAI's legacy completions, JSON and SSE.

Several prompts give several choices; all of them say the last prompt.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from tollway.simulator.ask import BYTES_PER_TOKEN, Ask, size_bytes, stop_list, tokens
from tollway.simulator.frames import Frame, Reply, encode

from .openai_chat import FINISHES, usage_of


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Body(Struct):
    model: str
    prompt: str | list[str | int | list[int]] = "<|endoftext|>"
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None


_decode = msgspec.json.Decoder(_Body).decode


def read(body: bytes, _model: str = "") -> Ask:
    """Raises `msgspec.DecodeError` if the body is not a completion request."""
    asked = _decode(body)
    prompts = _prompts(asked.prompt)
    return Ask(
        model=asked.model,
        text=_text(prompts[-1]) if prompts else "",
        input_bytes=sum(map(_tokens, prompts)) * BYTES_PER_TOKEN if len(prompts) > 1 else sum(map(_bytes, prompts)),
        stream=bool(asked.stream),
        is_usage_asked=bool(asked.stream_options and asked.stream_options.include_usage),
        tokens_output_max=asked.max_tokens,
        stops=stop_list(asked.stop),
        choices=(asked.n or 1) * max(1, len(prompts)),
    )


def _prompts(given: Any) -> list[Any]:
    return [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else list(given)


def _text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))


def _bytes(prompt: Any) -> int:
    return size_bytes(prompt) if isinstance(prompt, str) else len(prompt) * BYTES_PER_TOKEN


def _tokens(prompt: Any) -> int:
    return tokens(_bytes(prompt))


def _head(reply: Reply) -> dict[str, Any]:
    return {
        "id": f"cmpl-{reply.id}",
        "object": "text_completion",
        "created": reply.created_s,
        "model": reply.model,
        "system_fingerprint": "fp_simulator",
    }


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _finish(reply: Reply) -> str | None:
    return reply.answer.finish and FINISHES[reply.answer.finish]


def whole(reply: Reply) -> bytes:
    text = "".join(part.text for part in reply.answer.parts if part.kind == "text")
    choices = [_choice(index, text, _finish(reply)) for index in range(reply.ask.choices)]
    usage = {"usage": usage_of(reply.answer.usage)} if reply.answer.usage else {}
    return encode({**_head(reply), "choices": choices, **usage})


def frames(reply: Reply) -> Iterator[Frame]:
    """Text and finish for each choice; the usage chunk only if it was asked for; then `[DONE]`."""
    for index in range(reply.ask.choices):
        for piece in (piece for part in reply.answer.parts if part.kind == "text" for piece in part.pieces):
            yield Frame("content", _chunk(reply, [_choice(index, piece, None)]), size_bytes(piece))
        yield Frame("end", _chunk(reply, [_choice(index, "", _finish(reply))]))
    if reply.ask.is_usage_asked and reply.answer.usage:
        yield Frame("end", _chunk(reply, [], usage_of(reply.answer.usage)))
    yield Frame("end", b"data: [DONE]\n\n")


def _chunk(reply: Reply, choices: list[Any], usage: Any = None) -> bytes:
    told = {"usage": usage} if reply.ask.is_usage_asked else {}
    return b"data: " + encode({**_head(reply), "choices": choices, **told}) + b"\n\n"
