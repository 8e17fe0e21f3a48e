"""Whole answers of OpenAI responses: looked at in passing, read, and written."""

from collections.abc import Iterable
from typing import Final, cast

import msgspec

from tollway.dialects import classify, openai_logprobs
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.openai_responses import tools
from tollway.dialects.openai_responses.items import write_item
from tollway.dialects.openai_responses.request_reader import read_reasoning
from tollway.dialects.openai_responses.request_writer import write_format
from tollway.dialects.openai_responses.schema import ANSWERS, SEARCHED, USAGE, Answer, Glimpse, Item, SearchItem
from tollway.dialects.reading import is_given
from tollway.dialects.usage import read_figures, served_as
from tollway.wire import chat
from tollway.wire.usage import Usage

_INCOMPLETE: Final[dict[str, chat.StopReason]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_REASONS: Final[dict[chat.StopReason, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}

FINISHED: Final = frozenset({"completed", "incomplete"})

# -- in passing --------------------------------------------------------------------------------------------------------


def tap_answer(body: bytes, tally: Tally) -> None:
    """Look at a whole answer."""
    answer = ANSWERS.decode(body)
    said = failure(answer)
    if said is not None:
        tally.said = said
        return
    if answer.output is None:
        tally.broken = "it has no output"
    elif answer.status not in FINISHED:
        tally.broken = f"it is not finished: {answer.status}"
    is_calling = any((item.type or "").endswith("_call") for item in answer.output or ())
    tap_response(answer, tally, is_calling=is_calling)
    if SEARCH_CALL in body:
        tally.usage = with_searches(tally.usage, searches_in(SEARCHED.decode(body).output))
    tally.text_bytes = sum(map(_written_bytes, answer.output or ()))
    tally.has_content = tally.text_bytes > 0
    tally.is_begun = tally.is_complete = tally.is_terminal = True


def tap_response(response: Answer | Glimpse, tally: Tally, *, is_calling: bool) -> None:
    """What a finished response says of itself."""
    tally.model_answered = response.model or tally.model_answered
    tally.stop_reason = read_stop(response, is_calling=is_calling)
    if is_given(response.usage):
        usage, notes = read_usage(response)
        before = tally.usage.searches or 0 if tally.usage is not None else 0
        tally.usage = with_searches(usage, before) or tally.usage
        tally.notes += notes


SEARCH_CALL: Final = b'"web_search_call"'
"""What the bytes of an answer or event have in them that shows a search."""


def searches_in(items: Iterable[SearchItem] | None) -> int:
    """Searches among the items. Pages that are opened or looked through are not billed; an item that does not say what
    it did has searched."""
    return sum(item.type == "web_search_call" and _did(item) not in _READING for item in items or ())


_READING: Final = ("open_page", "find_in_page")


def _did(item: SearchItem) -> object:
    return cast("dict[str, object]", item.action).get("type") if isinstance(item.action, dict) else None


def with_searches(usage: Usage | None, searches: int) -> Usage | None:
    """Usage with at least so many searches."""
    known = usage.searches or 0 if usage is not None else 0
    return msgspec.structs.replace(usage or Usage(), searches=searches) if searches > known else usage


def read_usage(response: Answer | Glimpse) -> tuple[Usage | None, tuple[str, ...]]:
    """Usage and what is wrong with it, of a finished response."""
    usage, notes = read_figures(response.usage, USAGE)
    return served_as(usage, response.service_tier), notes


def failure(response: Answer | Glimpse) -> Said | None:
    """The error of a failed response."""
    if not is_given(response.error) and response.status != "failed":
        return None
    found = msgspec.json.decode(response.error)
    return classify.said_in({"error": found}) or Said("The response failed.", code="server_error")


def read_stop(response: Answer | Glimpse, *, is_calling: bool) -> chat.StopReason:
    """Our word for how it ended."""
    if response.status == "incomplete":
        details = response.incomplete_details
        return _INCOMPLETE.get(details.reason or "" if details is not None else "", "length")
    return "tool_calls" if is_calling else "stop"


def _written_bytes(item: Item) -> int:
    content = item.content if isinstance(item.content, list) else []
    texts = ((part.text or "") + (part.refusal or "") for part in (*content, *(item.summary or ())))
    return sum(len(text.encode()) for text in (*texts, item.name or "", item.arguments or "", item.input or ""))


# -- reading -----------------------------------------------------------------------------------------------------------


def read_answer(body: bytes, reply: Reply) -> chat.Answer | Said:
    """The whole answer, or the error in it. Raises msgspec.DecodeError for what is neither."""
    answer = ANSWERS.decode(body)
    said = failure(answer)
    if said is not None:
        return said
    if answer.status not in FINISHED:
        raise msgspec.ValidationError(f"it is not finished: {answer.status}")
    choices = (_read_choice(answer),) if answer.output is not None else ()
    usage = read_usage(answer)[0] if is_given(answer.usage) else None
    created_s = int(answer.created_at or reply.created_s)
    return chat.Answer(answer.id or reply.request_id, answer.model or "", choices, usage, created_s)


def _read_choice(answer: Answer) -> chat.Choice:
    items = answer.output or []
    parts = tuple(part for item in items for part in _read_item(item))
    is_calling = any(isinstance(part, chat.ToolCall) for part in parts)
    tokens = tuple(
        token
        for item in items
        for content in (item.content if isinstance(item.content, list) else ())
        for token in openai_logprobs.read_tokens(content.logprobs)
    )
    return chat.Choice(parts, read_stop(answer, is_calling=is_calling), "", tokens)


def _read_item(item: Item) -> Iterable[chat.Part]:
    """Parts of an item; none for kinds that only hosted tools make."""
    match item.type:
        case "message":
            for part in item.content if isinstance(item.content, list) else ():
                yield chat.Refused(part.refusal or "") if part.type == "refusal" else chat.Text(part.text or "")
        case "function_call":
            yield chat.ToolCall(item.call_id or item.id or "", item.name or "", item.arguments or "")
        case "custom_tool_call":
            yield chat.ToolCall(item.call_id or item.id or "", item.name or "", item.input or "", is_custom=True)
        case "reasoning":
            yield read_reasoning(item)
        case _:
            pass


# -- writing -----------------------------------------------------------------------------------------------------------


def write_answer(answer: chat.Answer, reply: Reply) -> bytes:
    """For a client of this dialect. It knows one choice."""
    return msgspec.json.encode(write_response(answer, reply))


def write_response(answer: chat.Answer, reply: Reply, *, is_open: bool = False) -> dict[str, object]:
    """A response object: finished, or as a stream begins with it."""
    choice = answer.choices[0] if answer.choices else chat.Choice((), "stop")
    reason = _REASONS.get(choice.stop)
    status = "in_progress" if is_open else "incomplete" if reason else "completed"
    return {
        "id": write_id(answer.id),
        "object": "response",
        "created_at": answer.created_s or reply.created_s,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason and not is_open else None,
        "model": answer.model,
        "output": [] if is_open else list(_write_items(answer.id, choice)),
        "usage": None if is_open else write_usage(answer.usage),
        **_echo(reply.conversation or chat.Conversation(())),
    }


def write_id(answer_id: str) -> str:
    """Clients expect their prefix."""
    return answer_id if answer_id.startswith("resp_") else f"resp_{answer_id}"


def _write_items(answer_id: str, choice: chat.Choice) -> Iterable[dict[str, object]]:
    tokens = choice.logprobs
    for number, part in enumerate(choice.parts):
        yield write_item(answer_id, part, number, tokens=tokens if isinstance(part, chat.Text) else ())
        tokens = () if isinstance(part, chat.Text) else tokens


def _echo(asked: chat.Conversation) -> dict[str, object]:
    """What a response repeats of its request."""
    return {
        "instructions": None,
        "max_output_tokens": asked.tokens_output_max,
        "metadata": asked.metadata,
        "parallel_tool_calls": asked.is_parallel is not False,
        "previous_response_id": None,
        "reasoning": {"effort": asked.reasoning.effort if asked.reasoning is not None else None, "summary": None},
        "store": False,
        "temperature": asked.sampling.temperature,
        "text": {"format": write_format(asked.format) or {"type": "text"}},
        "tool_choice": tools.write_choice(asked) or "auto",
        "tools": [tools.echo_tool(tool) for tool in asked.tools],
        "top_p": asked.sampling.top_p,
        "truncation": "disabled",
    }


def write_usage(usage: Usage | None) -> dict[str, object] | None:
    """Known figures; None when input or output are unknown."""
    if usage is None or usage.tokens_input is None or usage.tokens_output is None:
        return None
    return {
        "input_tokens": usage.tokens_input,
        "input_tokens_details": {
            "cached_tokens": usage.tokens_cache_read or 0,
            "cache_write_tokens": usage.tokens_cache_write or 0,
        },
        "output_tokens": usage.tokens_output,
        "output_tokens_details": {"reasoning_tokens": usage.tokens_reasoning or 0},
        "total_tokens": usage.tokens_input + usage.tokens_output,
    }
