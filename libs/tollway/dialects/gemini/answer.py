"""Whole answers of Gemini: looked at in passing, read, and written."""

from collections.abc import Iterable
from typing import Final

import msgspec

from tollway.dialects import classify, media
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.gemini.request_reader import join_thoughts, read_call
from tollway.dialects.gemini.request_writer import write_call
from tollway.dialects.gemini.schema import ANSWERS, NAME, Answer, Candidate, LogprobsResult, Part
from tollway.dialects.reading import is_given, present
from tollway.dialects.signatures import read_thought, write_token
from tollway.dialects.usage import read_figures
from tollway.wire import chat
from tollway.wire.usage import Usage

STOPS: Final[dict[str, chat.StopReason]] = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
FINISHES: Final[dict[chat.StopReason, str]] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "stop_sequence": "STOP",
    "pause": "STOP",
}

UNFINISHED: Final = "it does not say why it stopped"

# -- usage -------------------------------------------------------------------------------------------------------------

_FIGURES: Final = {
    "tokens_input": ("promptTokenCount",),
    "tokens_output": ("candidatesTokenCount",),
    "tokens_cache_read": ("cachedContentTokenCount",),
    "tokens_reasoning": ("thoughtsTokenCount",),
}
_TOOL_FIGURES: Final = {"tokens_input": ("toolUsePromptTokenCount",)}


class _Modality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: int = 0


class _Details(msgspec.Struct, rename="camel"):
    prompt_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None


def read_usage(raw: msgspec.Raw) -> tuple[Usage | None, tuple[str, ...]]:
    """Usage. Gemini's output excludes its thoughts, and its input what hosted tools put in; ours has both."""
    found, notes = read_figures(raw, _FIGURES)
    if found is None:
        return None, notes
    hosted = (read_figures(raw, _TOOL_FIGURES)[0] or Usage()).tokens_input or 0
    said = [figure for figure in (found.tokens_output, found.tokens_reasoning) if figure is not None]
    audio_in, audio_out = _audio(raw)
    whole = msgspec.structs.replace(
        found,
        tokens_input=found.tokens_input + hosted if found.tokens_input is not None else None,
        tokens_output=sum(said) if said else None,
        tokens_audio_input=audio_in,
        tokens_audio_output=audio_out,
    )
    return whole, notes


def _audio(raw: msgspec.Raw) -> tuple[int | None, int | None]:
    try:
        details = msgspec.json.decode(raw, type=_Details)
    except msgspec.DecodeError:
        return None, None
    counted = (details.prompt_tokens_details, details.candidates_tokens_details)
    into, out = (sum(one.token_count for one in found or () if one.modality == "AUDIO") for found in counted)
    return into or None, out or None


def write_usage(usage: Usage | None) -> dict[str, object] | None:
    """Known figures; None when nothing is known."""
    if usage is None or usage.tokens_input is None or usage.tokens_output is None:
        return None
    return present(
        promptTokenCount=usage.tokens_input,
        candidatesTokenCount=usage.tokens_output - (usage.tokens_reasoning or 0),
        thoughtsTokenCount=usage.tokens_reasoning,
        cachedContentTokenCount=usage.tokens_cache_read,
        totalTokenCount=usage.tokens_input + usage.tokens_output,
    )


# -- in passing --------------------------------------------------------------------------------------------------------


def tap_answer(body: bytes, tally: Tally) -> None:
    """Look at a whole answer, or at a count."""
    answer = ANSWERS.decode(body)
    tap(answer, tally)
    is_empty = not answer.candidates and answer.total_tokens is None
    if is_empty and not is_blocked(answer) and tally.said is None:
        tally.broken = "it has no candidates"
    elif any(candidate.finish_reason is None for candidate in answer.candidates or ()):
        tally.broken = UNFINISHED
    tally.is_begun = tally.is_complete = tally.is_terminal = True


def tap(answer: Answer, tally: Tally) -> None:
    """Look at an answer or a chunk of one."""
    if answer.error is not None:
        tally.said = classify.said_in({"error": answer.error})
    tally.is_begun = tally.is_begun or bool(answer.candidates) or answer.prompt_feedback is not None
    tally.model_answered = answer.model_version or tally.model_answered
    if is_blocked(answer):
        tally.stop_reason = "content_filter"
        tally.is_complete = True
    for candidate in answer.candidates or ():
        size = sum(map(written_bytes, candidate.content.parts or ())) if candidate.content is not None else 0
        tally.text_bytes += size
        tally.has_content = tally.has_content or size > 0
        if candidate.finish_reason is not None:
            tally.stop_reason = STOPS.get(candidate.finish_reason, candidate.finish_reason)
            tally.is_complete = True
    is_grounded = any(map(_is_grounded, answer.candidates or ()))
    searches = 1 if is_grounded or (tally.usage is not None and tally.usage.searches) else None
    if is_given(answer.usage_metadata):
        usage, notes = read_usage(answer.usage_metadata)
        tally.usage = usage or tally.usage
        tally.notes += notes
    if searches:
        tally.usage = msgspec.structs.replace(tally.usage or Usage(), searches=searches)


def _is_grounded(candidate: Candidate) -> bool:
    """Whether Google searched for it: queries are told, or the suggestions that a client must show. Google bills such a
    prompt once. An empty object, or one of places and pages alone, is no search."""
    found = candidate.grounding_metadata
    return found is not None and bool(found.web_search_queries or found.search_entry_point)


def is_blocked(answer: Answer) -> bool:
    """Whether the prompt itself was refused."""
    feedback = answer.prompt_feedback
    return feedback is not None and feedback.block_reason is not None and not answer.candidates


def written_bytes(part: Part) -> int:
    """Bytes that the model wrote in this part."""
    size = len((part.text or "").encode())
    if part.function_call is not None:
        size += len(part.function_call.name.encode()) + len(part.function_call.args)
    return size + (len(part.inline_data.data) if part.inline_data is not None else 0)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_answer(body: bytes, reply: Reply) -> chat.Answer | Said:
    """The whole answer, or the error in it. Raises msgspec.DecodeError for what is neither."""
    answer = ANSWERS.decode(body)
    said = failure(answer)
    if said is not None:
        return said
    answer_id = answer.response_id or reply.request_id
    candidates = sorted(answer.candidates or (), key=lambda candidate: candidate.index)
    if any(candidate.finish_reason is None for candidate in candidates):
        raise msgspec.ValidationError(UNFINISHED)
    choices = tuple(_read_choice(candidate, answer_id) for candidate in candidates)
    usage = read_usage(answer.usage_metadata)[0] if is_given(answer.usage_metadata) else None
    return chat.Answer(answer_id, answer.model_version or "", choices, usage, reply.created_s)


_NO_ANSWERS: Final = {
    "MALFORMED_FUNCTION_CALL": "malformed_answer",
    "MALFORMED_RESPONSE": "malformed_answer",
    "UNEXPECTED_TOOL_CALL": "malformed_answer",
    "TOO_MANY_TOOL_CALLS": "malformed_answer",
    "MISSING_THOUGHT_SIGNATURE": "invalid_argument",
}
"""Finish reasons of an answer that is none."""


def failure(answer: Answer) -> Said | None:
    """An error in it, a blocked prompt, or a finish reason that is a failure."""
    if answer.error is not None:
        return classify.said_in({"error": answer.error}) or Said("error")
    feedback = answer.prompt_feedback
    if feedback is not None and is_blocked(answer):
        message = feedback.block_reason_message or f"The provider blocked the prompt: {feedback.block_reason}."
        return Said(message, code="content_policy_violation")
    for candidate in answer.candidates or ():
        code = _NO_ANSWERS.get(candidate.finish_reason or "")
        if code is not None:
            return Said(candidate.finish_message or f"The answer ended with {candidate.finish_reason}.", code=code)
    return None


def _read_choice(candidate: Candidate, answer_id: str) -> chat.Choice:
    raw = candidate.content.parts or () if candidate.content is not None else ()
    parts: list[chat.Part] = []
    for part in raw:
        parts += read_part(part, call_id(answer_id, candidate.index, _calls_in(parts)))
    joined = tuple(join_texts(join_thoughts(parts)))
    is_calling = any(isinstance(part, chat.ToolCall) for part in joined)
    tokens = read_logprobs(candidate.logprobs_result)
    return chat.Choice(joined, read_stop(candidate.finish_reason, is_calling=is_calling), "", tokens)


def _calls_in(parts: Iterable[chat.Part]) -> int:
    return sum(isinstance(part, chat.ToolCall) for part in parts)


def call_id(answer_id: str, choice: int, calls_before: int) -> str:
    """An id for a call that came without one; the same in a stream and in the whole answer."""
    return f"call_{answer_id}_{choice}_{calls_before}"


def read_part(part: Part, new_id: str) -> list[chat.Part]:
    """A part of an answer: a signature is a thought before a call, and after anything else."""
    token = part.thought_signature or ""
    if part.thought:
        return [read_thought(part.text or "", token, NAME)]
    signed: list[chat.Part] = [read_thought("", token, NAME)] if token else []
    if part.function_call is not None:
        return [*signed, read_call(part.function_call, part.function_call.id or new_id)]
    text = text_of(part)
    return [*([chat.Text(text)] if text else []), *signed]


def text_of(part: Part) -> str:
    """A part's text. What a model drew has no place in other dialects' answers: it is an image in Markdown there."""
    drawn = part.inline_data
    if drawn is None:
        return part.text or ""
    return f"![{drawn.mime_type}]({media.write_data_url(drawn.mime_type, drawn.data)})"


def join_texts(parts: Iterable[chat.Part]) -> list[chat.Part]:
    """Neighbouring texts, and neighbouring unsigned thoughts, are one: a stream cannot tell them apart."""
    joined: list[chat.Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, chat.Text) and isinstance(last, chat.Text):
            joined[-1] = chat.Text(last.text + part.text)
        elif isinstance(part, chat.Thinking) and isinstance(last, chat.Thinking) and last.signature is None:
            joined[-1] = msgspec.structs.replace(part, text=last.text + part.text)
        else:
            joined.append(part)
    return joined


def read_stop(word: str | None, *, is_calling: bool) -> chat.StopReason:
    """Our word. Gemini says `STOP` after calls too."""
    stop = STOPS.get(word or "STOP", "content_filter")
    return "tool_calls" if is_calling and stop == "stop" else stop


def read_logprobs(result: LogprobsResult | None) -> tuple[chat.TokenLogprob, ...]:
    """Chosen tokens and their alternatives."""
    if result is None:
        return ()
    tops = [top.candidates or [] for top in result.top_candidates or ()]
    return tuple(
        chat.TokenLogprob(
            token.token,
            token.log_probability,
            tuple(chat.Alternative(top.token, top.log_probability) for top in (tops[i] if i < len(tops) else ())),
        )
        for i, token in enumerate(result.chosen_candidates or ())
    )


# -- writing -----------------------------------------------------------------------------------------------------------


def write_answer(answer: chat.Answer, reply: Reply) -> bytes:
    """For a client of this dialect."""
    del reply
    candidates = [_write_candidate(choice, i) for i, choice in enumerate(answer.choices)]
    return msgspec.json.encode(write_envelope(answer.id, answer.model, candidates, answer.usage))


def write_envelope(
    answer_id: str, model: str, candidates: list[dict[str, object]], usage: Usage | None = None
) -> dict[str, object]:
    """What every answer and chunk has around its candidates."""
    return present(candidates=candidates, usageMetadata=write_usage(usage), modelVersion=model, responseId=answer_id)


def _write_candidate(choice: chat.Choice, index: int) -> dict[str, object]:
    return present(
        content={"role": "model", "parts": [write_part(part) for part in choice.parts]},
        finishReason=FINISHES[choice.stop],
        index=index,
        logprobsResult=write_logprobs(choice.logprobs),
    )


def write_part(part: chat.Part) -> dict[str, object]:
    """A part of an answer, whole."""
    match part:
        case chat.Text() | chat.Refused():
            return {"text": part.text}
        case chat.Thinking():
            token = write_token(part, NAME)
            return present(text=part.text, thought=True, thoughtSignature=token or None)
        case chat.ToolCall():
            return {"functionCall": write_call(part)}
        case _:
            raise TypeError(f"an answer has no {type(part).__name__}")


def write_logprobs(tokens: tuple[chat.TokenLogprob, ...]) -> dict[str, object] | None:
    """For a candidate; None if there are none."""
    if not tokens:
        return None
    return {
        "chosenCandidates": [_write_token(token.token, token.logprob) for token in tokens],
        "topCandidates": [{"candidates": [_write_token(top.token, top.logprob) for top in t.top]} for t in tokens],
    }


def _write_token(token: str, logprob: float) -> dict[str, object]:
    return {"token": token, "logProbability": logprob}
