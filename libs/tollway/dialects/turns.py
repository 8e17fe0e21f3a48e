"""Turns of a conversation, regrouped as dialects group them."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from tollway.wire import chat


def join_tool_turns(messages: Iterable[chat.Message]) -> tuple[chat.Message, ...]:
    """Neighbouring turns of tool results become one, as the calls they answer were one turn."""
    joined: list[chat.Message] = []
    for role, group in groupby(messages, key=lambda message: message.role):
        turns = list(group)
        if role == "tool":
            turns = [chat.Message("tool", tuple(part for turn in turns for part in turn.parts))]
        joined.extend(turns)
    return tuple(joined)


def call_names(messages: Iterable[chat.Message]) -> dict[str, str]:
    """Which function each call id was for: results name it in some dialects."""
    return {part.id: part.name for message in messages for part in message.parts if isinstance(part, chat.ToolCall)}


def with_call_ids(messages: Iterable[chat.Message], letters: int) -> tuple[chat.Message, ...]:
    """Calls and their results under ids of so many letters and digits, for providers that take no others. Ids that are
    so already stay; the others get the same one every time, so that a call and its result still meet."""
    return tuple(
        msgspec.structs.replace(message, parts=tuple(_renamed(part, letters) for part in message.parts))
        for message in messages
    )


def _renamed(part: chat.Part, letters: int) -> chat.Part:
    match part:
        case chat.ToolCall():
            return msgspec.structs.replace(part, id=_short_id(part.id, letters))
        case chat.ToolResult():
            return msgspec.structs.replace(part, call_id=_short_id(part.call_id, letters))
        case _:
            return part


def _short_id(call_id: str, letters: int) -> str:
    is_so = len(call_id) == letters and call_id.isascii() and call_id.isalnum()
    return call_id if is_so else hashlib.sha256(call_id.encode()).hexdigest()[:letters]


def custom_calls(messages: Iterable[chat.Message]) -> frozenset[str]:
    """The ids of calls of custom tools: their results are of another type in some dialects."""
    parts = (part for message in messages for part in message.parts)
    return frozenset(part.id for part in parts if isinstance(part, chat.ToolCall) and part.is_custom)


def text_of(parts: Iterable[chat.Part]) -> str:
    """The text in these parts, without separators."""
    return "".join(part.text for part in parts if isinstance(part, chat.Text))


def split_system(messages: Sequence[chat.Message]) -> tuple[tuple[chat.Text, ...], tuple[chat.Message, ...]]:
    """System and developer text, in order, apart from the turns: for dialects with one system prompt. Where there is
    nothing else, it is what the user says.
    """
    system = tuple(
        part
        for message in messages
        if message.role in ("system", "developer")
        for part in message.parts
        if isinstance(part, chat.Text)
    )
    rest = tuple(message for message in messages if message.role not in ("system", "developer"))
    return (system, rest) if rest else ((), (chat.Message("user", system),) if system else ())


def separated(system: Sequence[chat.Text]) -> str:
    """Several system texts as one."""
    return "\n\n".join(text.text for text in system)


def without_cache(part: chat.Text) -> chat.Text:
    """The text alone."""
    return msgspec.structs.replace(part, cache=None) if part.cache is not None else part
