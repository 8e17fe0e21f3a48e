"""Output items for a client of OpenAI responses: each part of an answer is one item."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollway.dialects import openai_logprobs
from tollway.dialects.openai_responses.schema import NAME
from tollway.dialects.reading import present
from tollway.dialects.signatures import own_value, write_token
from tollway.wire import chat

_PREFIX: Final[Mapping[type[chat.Part], str]] = {chat.Thinking: "rs", chat.ToolCall: "fc"}


def item_id(answer_id: str, part: chat.Part, number: int) -> str:
    """Ids are made of the answer's id, so that a stream and its whole answer agree."""
    is_custom = isinstance(part, chat.ToolCall) and part.is_custom
    return f"{'ctc' if is_custom else _PREFIX.get(type(part), 'msg')}_{answer_id}_{number}"


def write_item(
    answer_id: str,
    part: chat.Part,
    number: int,
    *,
    status: str = "completed",
    tokens: tuple[chat.TokenLogprob, ...] = (),
) -> dict[str, object]:
    """An item; with status `in_progress` it has no content yet."""
    is_open = status == "in_progress"
    head: dict[str, object] = {"id": item_id(answer_id, part, number), "status": status}
    match part:
        case chat.Text() | chat.Refused():
            content = [] if is_open else [write_content(part, tokens)]
            return {"type": "message", "role": "assistant", **head, "content": content}
        case chat.ToolCall():
            return {**head, **write_call(part)}
        case chat.Thinking():
            summary = [] if is_open or not part.text else [write_summary(part.text)]
            return {"type": "reasoning", **head, "summary": summary, **present(encrypted_content=_token(part))}
        case _:
            raise TypeError(f"an answer has no {type(part).__name__}")


def write_call(call: chat.ToolCall, *, empty: str = "") -> dict[str, object]:
    """A call, without its item's id. `empty`: what stands for no arguments."""
    if call.is_custom:
        return {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.arguments}
    arguments = call.arguments or empty
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


def _token(part: chat.Thinking) -> str | None:
    """Our own dialect's signatures carry the id of the item they came from; the client gets what was issued."""
    own = own_value(part.signature, NAME)
    return (own.partition(".")[2] if own else write_token(part, NAME)) or None


def write_content(part: chat.Text | chat.Refused, tokens: tuple[chat.TokenLogprob, ...] = ()) -> dict[str, object]:
    """The content of a message item."""
    if isinstance(part, chat.Refused):
        return {"type": "refusal", "refusal": part.text}
    return {
        "type": "output_text",
        "text": part.text,
        "annotations": [],
        "logprobs": openai_logprobs.write_tokens(tokens),
    }


def write_summary(text: str) -> dict[str, object]:
    """The content of a reasoning item."""
    return {"type": "summary_text", "text": text}


def emptied(part: chat.Text | chat.Refused) -> chat.Text | chat.Refused:
    """The part as it opens."""
    return msgspec.structs.replace(part, text="")
