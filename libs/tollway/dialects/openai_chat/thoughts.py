"""Reasoning in OpenAI chat messages. The API has no place for it; its providers agreed on two.

`reasoning_content` (or `reasoning`) is the text alone. `reasoning_details` (OpenRouter's reference, read 2025-11) keeps
signatures: `{"type": "reasoning.text", "text", "signature"}` and `{"type": "reasoning.encrypted", "data"}`.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from tollway.dialects.features import Use
from tollway.dialects.openai_chat import schema
from tollway.dialects.openai_chat.schema import NAME
from tollway.dialects.reading import Uses
from tollway.dialects.signatures import own_value, read_thought, write_token
from tollway.wire import chat


class Detail(msgspec.Struct):
    """One entry of `reasoning_details`."""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None


_DETAILS: Final = msgspec.json.Decoder(list[Detail] | None)


def read(message: schema.Message, path: str, uses: Uses) -> list[chat.Thinking]:
    """The reasoning of an earlier answer."""
    details = read_details(message.reasoning_details)
    text = message.reasoning_content or message.reasoning or ""
    if details:
        if any(thought.text for thought in details):
            uses.append(Use("thinking", f"{path}.reasoning_details"))
        if any(thought.signature is not None for thought in details):
            uses.append(Use("thinking_signature", f"{path}.reasoning_details"))
        return details
    if text:
        uses.append(Use("thinking", f"{path}.{'reasoning_content' if message.reasoning_content else 'reasoning'}"))
    return [chat.Thinking(text)] if text else []


def read_details(raw: msgspec.Raw) -> list[chat.Thinking]:
    """Details to thoughts; what is not a list of details is none."""
    try:
        details = _DETAILS.decode(raw)
    except msgspec.DecodeError:
        return []
    return [_read_detail(detail) for detail in details or ()]


def _read_detail(detail: Detail) -> chat.Thinking:
    token = detail.data or detail.signature or ""
    return read_thought(detail.text or detail.summary or "", token, NAME, is_redacted=bool(detail.data))


def write_answer(parts: Iterable[chat.Part]) -> dict[str, object]:
    """For a client: the text, and the details if there is more to say."""
    thoughts = [part for part in parts if isinstance(part, chat.Thinking)]
    text = "".join(thought.text for thought in thoughts)
    written: dict[str, object] = {"reasoning_content": text} if text else {}
    if len(thoughts) > 1 or any(thought.signature is not None for thought in thoughts):
        written["reasoning_details"] = [write_detail(thought, i) for i, thought in enumerate(thoughts)]
    return written


def write_detail(thought: chat.Thinking, index: int) -> dict[str, object]:
    """One thought for a client."""
    token = write_token(thought, NAME)
    if thought.is_redacted:
        return {"type": "reasoning.encrypted", "data": token, "index": index}
    signed = {"signature": token} if token else {}
    return {"type": "reasoning.text", "text": thought.text, **signed, "index": index}


def write_request(parts: Iterable[chat.Part]) -> dict[str, object]:
    """For a provider that takes its reasoning back: its own details where it signed them, else the text."""
    thoughts = [part for part in parts if isinstance(part, chat.Thinking)]
    own = [thought for thought in thoughts if own_value(thought.signature, NAME)]
    text = "".join(thought.text for thought in thoughts)
    written: dict[str, object] = {"reasoning_content": text} if text else {}
    if own:
        written["reasoning_details"] = [write_detail(thought, i) for i, thought in enumerate(own)]
    return written
