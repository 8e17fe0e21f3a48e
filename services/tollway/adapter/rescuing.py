"""Going on with a stream that broke after its first content: off by default, per account, and only where it is honest.

The next candidate is given the conversation with the text that the client has as the begin of the assistant's answer,
which only some models take as that (prefill). Never with tool calls, reasoning or several choices in flight. The
client's stream goes on as one answer, and the receipt names the place of the seam.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from tollway.dialects.built_in import BUILT_IN
from tollway.dialects.rows import prefill_field
from tollway.dialects.sse import Overlong, Splitter
from tollway.wire.plan import Candidate, DialectName

Event = dict[str, Any]

TEXT_BYTES_MAX: Final = 256 * 1024

_ROWS: Final = {row.id: row for row in BUILT_IN if row.prefills}

_any: Final = msgspec.json.Decoder()


def is_able(candidate: Candidate) -> bool:
    """Whether the candidate's models go on with a begun answer."""
    return _field(candidate) is not None


def _field(candidate: Candidate) -> str | None:
    row = _ROWS.get(candidate.provider)
    return prefill_field(row, candidate.model_sent) if row is not None else None


class Seam:
    """What the client has of one stream, and how another one is sewn on to it. For accounts that allow it."""

    def __init__(self, dialect: DialectName) -> None:
        self.places: list[int] = []
        self._dialect: DialectName = dialect
        self._splitter = Splitter()
        self._text: list[str] = []
        self._text_bytes = 0
        self._first: Event = {}
        self._is_plain = dialect in _HEARD
        self._blanks = ""

    @property
    def is_possible(self) -> bool:
        """Whether what the client has is plain text, known to us in full."""
        return self._is_plain and any(not text.isspace() for text in self._text)

    def heard(self, out: bytes) -> None:
        """The client is sent these events."""
        for event in self._events(out) if self._is_plain else ():
            self._note(event)

    def continued(self, body: bytes, candidate: Candidate) -> bytes:
        """The caller's request with the begun answer at its end. Models mind blanks there, so those are left out."""
        text = "".join(self._text)
        begun = text.rstrip()
        self._blanks = text[len(begun) :]
        self.places.append(len(text))
        self._splitter = Splitter()
        message: Event = {"role": "assistant", "content": begun}
        if field := _field(candidate):
            message[field] = True
        request = cast("Event", _any.decode(body))
        request["messages"] = [*request["messages"], message]
        return msgspec.json.encode(request)

    def sewn(self, out: bytes) -> bytes:
        """Events of the stream that goes on, without its begin and under the name of the first one."""
        joined = b""
        for event in self._events(out):
            kept = _SEWN[self._dialect](event, self._first)
            if kept is not None:
                joined += self._without_blanks(kept)
        return joined + (b"data: [DONE]\n\n" if b"data: [DONE]" in out else b"")

    def _without_blanks(self, event: Event) -> bytes:
        """The blanks that the client has already are not said again."""
        delta, name = _delta(event)
        if self._blanks and isinstance(delta.get(name), str):
            delta[name] = delta[name].lstrip()
            self._blanks = self._blanks if not delta[name] else ""
        self._note(event)
        kind = f"event: {event['type']}\n".encode() if "type" in event else b""
        return kind + b"data: " + msgspec.json.encode(event) + b"\n\n"

    def _note(self, event: Event) -> None:
        """One more event that the client has; another rescue may follow."""
        text = _HEARD[self._dialect](event)
        self._first = self._first or event
        if text is None or self._text_bytes > TEXT_BYTES_MAX:
            self._is_plain = False
        elif text:
            self._text.append(text)
            self._text_bytes += len(text)

    def _events(self, out: bytes) -> list[Event]:
        try:
            frames = [frame.data for frame in self._splitter.feed(out) if frame.data]
            found = [_any.decode(data) for data in frames if data.startswith(b"{")]
        except (Overlong, msgspec.DecodeError):
            self._is_plain = False
            return []
        return [cast("Event", event) for event in found]


def _object(value: Any) -> Event:
    return cast("Event", value) if isinstance(value, dict) else {}


def _choices(event: Event) -> list[Event]:
    choices = event.get("choices")
    return [_object(choice) for choice in cast("list[Any]", choices)] if isinstance(choices, list) else []


def _delta(event: Event) -> tuple[Event, str]:
    """Where an event has its text."""
    choices = _choices(event)
    return (_object(choices[0].get("delta")), "content") if choices else (_object(event.get("delta")), "text")


def _heard_chat(event: Event) -> str | None:
    """The text of a chunk; None if there is anything else in it that matters."""
    choices = _choices(event)
    if len(choices) > 1 or any(choice.get("index") for choice in choices):
        return None
    if not choices:
        return ""
    delta = {name: value for name, value in _delta(event)[0].items() if value not in (None, "", [])}
    if choices[0].get("finish_reason") is not None or not delta.keys() <= {"role", "content"}:
        return None
    content = delta.get("content", "")
    return content if isinstance(content, str) else None


def _heard_messages(event: Event) -> str | None:
    kind = event.get("type")
    if kind in ("message_start", "ping"):
        return ""
    if event.get("index") != 0:
        return None
    if kind == "content_block_start":
        return "" if _object(event.get("content_block")).get("type") == "text" else None
    delta = _object(event.get("delta"))
    return str(delta.get("text", "")) if kind == "content_block_delta" and delta.get("type") == "text_delta" else None


def _sewn_chat(event: Event, first: Event) -> Event | None:
    """Chunks under the first stream's name; the one that only opens the answer is left out."""
    choices = _choices(event)
    named = {**event, **{name: first[name] for name in ("id", "created", "model") if name in first}}
    if not choices:
        return named if event.get("usage") is not None else None
    delta = _delta(event)[0]
    is_begin = bool(delta.get("role")) and not delta.get("content") and choices[0].get("finish_reason") is None
    return None if is_begin else named


def _sewn_messages(event: Event, _first: Event) -> Event | None:
    """The message and its first block are begun already."""
    kind = event.get("type")
    is_begin = kind == "message_start" or (kind == "content_block_start" and event.get("index") == 0)
    return None if is_begin else event


_HEARD: Final[dict[DialectName, Callable[[Event], str | None]]] = {
    "openai_chat": _heard_chat,
    "anthropic_messages": _heard_messages,
}
_SEWN: Final[dict[DialectName, Callable[[Event, Event], Event | None]]] = {
    "openai_chat": _sewn_chat,
    "anthropic_messages": _sewn_messages,
}
