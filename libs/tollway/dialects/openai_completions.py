"""OpenAI's legacy completions, `POST /v1/completions`: passed to providers that speak it, never translated.

Source: OpenAI API reference "Completions", read 2026-11.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from tollway.dialects import bodies, classify, openai_errors
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Passing, Tally, Target
from tollway.dialects.exchange import CONTENT_TYPE_JSON, Intake
from tollway.dialects.openai_chat.answer import STOPS, UNFINISHED
from tollway.dialects.openai_chat.intake import own_stream_options
from tollway.dialects.openai_chat.schema import USAGE, StreamOptions
from tollway.dialects.reading import TopLevel, is_given
from tollway.dialects.sse import Frame
from tollway.dialects.usage import read_figures
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal

# -- shapes ------------------------------------------------------------------------------------------------------------

_NULL: Final = msgspec.Raw(b"null")
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Request(msgspec.Struct):
    """The body of a request; fields it does not name pass through untouched."""

    model: str
    prompt: str | list[str | int | list[int]] | None = None
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    n: _Positive | None = None
    best_of: _Positive | None = None


class Choice(msgspec.Struct):
    """One choice of an answer or a chunk."""

    text: str | None = None
    finish_reason: str | None = None


class Answer(msgspec.Struct):
    """A whole answer, or a chunk of one."""

    model: str | None = None
    choices: list[Choice] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_REQUESTS: Final = msgspec.json.Decoder(Request)
_ANSWERS: Final = msgspec.json.Decoder(Answer)

# -- intake ------------------------------------------------------------------------------------------------------------

_TOKENS_OUTPUT_DEFAULT: Final = 16
"""What the API generates where no limit is set."""


def intake(body: bytes, fields: Fields, surface: Surface) -> Intake | Refusal:
    """Strict reading of what the gateway must know. Every prompt of a list gets its own answers."""
    del fields, surface
    request = bodies.decode(_REQUESTS, body)
    if isinstance(request, Refusal):
        return request
    if not request.model:
        return bodies.invalid("The model must be named.", "model")
    prompts = len(request.prompt) if isinstance(request.prompt, list) and _is_many(request.prompt) else 1
    options = request.stream_options
    return Intake(
        model=request.model,
        models=tuple(request.models or ()),
        is_stream=bool(request.stream),
        is_usage_asked=options is not None and bool(options.include_usage),
        tokens_output_wanted=_TOKENS_OUTPUT_DEFAULT if request.max_tokens is None else request.max_tokens,
        choices=max(request.n or 1, request.best_of or 1) * max(1, prompts),
        text_bytes=len(body),
    )


def _is_many(prompt: list[str | int | list[int]]) -> bool:
    return not (prompt and isinstance(prompt[0], int))


_TOP: Final[TopLevel] = {
    **dict.fromkeys(("model", "models", "prompt", "stream", "stream_options", "max_tokens")),
    "suffix": "surrounding",
    "echo": "surrounding",
    "stop": "stop",
    "n": "choices",
    "logprobs": "logprobs",
    "user": "user",
}
"""What is of a meaning that must not be lost; the rest is how the model is to answer."""

# -- fields that Tollway owns ------------------------------------------------------------------------------------------


def own(fields: Fields, target: Target) -> None:
    """Set model, stream, usage request and output limit."""
    fields.pop("models", None)
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model_sent))
    if target.is_stream:
        fields["stream"] = msgspec.Raw(b"true")
        own_stream_options(fields, target)
    raw = fields.get("max_tokens")
    given = msgspec.json.decode(raw, type=int | None) if raw is not None else None
    cap = target.tokens_output_cap
    if cap is not None and (_TOKENS_OUTPUT_DEFAULT if given is None else given) > cap:
        fields["max_tokens"] = msgspec.Raw(b"%d" % cap)


def path(_target: Target) -> str:
    """The same for every model."""
    return "/completions"


def headers(caller: Mapping[str, str]) -> dict[str, str]:
    """Of the outgoing call; nothing of the caller's is needed."""
    del caller
    return {"content-type": CONTENT_TYPE_JSON}


# -- in passing --------------------------------------------------------------------------------------------------------

_TERMINATOR: Final = b"data: [DONE]\n\n"


def tap_answer(body: bytes, tally: Tally) -> None:
    """Look at a whole answer."""
    answer = _ANSWERS.decode(body)
    _tap(answer, tally)
    if not answer.choices and tally.said is None:
        tally.broken = "it has no choices"
    elif any(choice.finish_reason is None for choice in answer.choices or ()):
        tally.broken = UNFINISHED
    tally.is_complete = tally.is_terminal = True


def tap_frame(frame: Frame, tally: Tally, is_usage_asked: bool) -> bool:
    """Look at one frame; False keeps it from the client: the terminator, and the usage that was not asked for."""
    if frame.data == b"[DONE]":
        tally.is_terminal = True
        return False
    if not frame.data:
        return True
    chunk = _ANSWERS.decode(frame.data)
    _tap(chunk, tally)
    return bool(chunk.choices) or is_usage_asked or not is_given(chunk.usage)


def _tap(answer: Answer, tally: Tally) -> None:
    tally.model_answered = answer.model or tally.model_answered
    for choice in answer.choices or ():
        tally.is_begun = True
        if choice.text:
            tally.has_content = True
            tally.text_bytes += len(choice.text.encode())
        if choice.finish_reason is not None:
            tally.stop_reason = STOPS.get(choice.finish_reason, choice.finish_reason)
            tally.is_complete = True
    if is_given(answer.usage):
        usage, notes = read_figures(answer.usage, USAGE)
        tally.usage = usage or tally.usage
        tally.notes += notes
    if is_given(answer.error):
        tally.said = classify.said_in({"error": msgspec.json.decode(answer.error)})


DIALECT: Final = Passing(
    name="openai_completions",
    intake=intake,
    own=own,
    path=path,
    headers=headers,
    tap_answer=tap_answer,
    tap_frame=tap_frame,
    terminator=_TERMINATOR,
    top=_TOP,
    needed=frozenset({"prompt", "max_tokens"}),
    is_own_error=openai_errors.is_own_error,
    write_error=openai_errors.write_error,
    write_error_event=openai_errors.write_error_event,
)
