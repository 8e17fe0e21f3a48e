"""Client and provider speak different chat dialects: each is read into the canonical conversation and written from it.

No dialect knows another. What the provider's dialect cannot carry is refused by path or dropped by name.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollway.dialects import bodies, turns
from tollway.dialects.attempt import Bridge, Setting, StreamBridge
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Dialect, Reply, Tally, Target
from tollway.dialects.exchange import NO_HEADERS, Outgoing
from tollway.dialects.features import REASONING, Feature, judge
from tollway.dialects.passing import asks_usage, make_target, with_query
from tollway.dialects.reading import Reading
from tollway.dialects.rows import tokens_output_least
from tollway.dialects.sse import Frame
from tollway.dialects.supported import strip_refused, strip_unlisted
from tollway.wire import chat
from tollway.wire.refusals import Refusal, refuse

_FIELDS: Final = msgspec.json.Decoder(bodies.Fields)


class HubBridge(Bridge):
    """Translates by way of the conversation."""

    def __init__(self, setting: Setting, client: Dialect, provider: Dialect) -> None:
        super().__init__(setting)
        self._client = client
        self._provider = provider
        self._reply = Reply()

    def request(
        self,
        body: bytes,
        *,
        model_sent: str,
        tokens_output_cap: int | None,
        is_stream: bool,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Outgoing | Refusal:
        """The provider's request; refused with the path of a field that cannot be carried."""
        del headers  # they are of the client's dialect
        fields = bodies.read_fields(body)
        if isinstance(fields, Refusal):
            return fields
        reading = self._client.read_request(body, fields)
        if isinstance(reading, Refusal):
            return reading
        hints = frozenset[Feature]() if self._setting.is_reasoning else REASONING
        if hints:
            reading = _without_reasoning(reading)
        target = make_target(
            self._setting.row,
            surface=self._setting.surface,
            model_sent=model_sent,
            tokens_output_cap=tokens_output_cap,
            is_stream=is_stream,
            carries=self._provider.carries - hints,
        )
        dropped = judge(reading.uses, target.carries, target.refused_params, hints=hints)
        if isinstance(dropped, Refusal):
            return dropped
        too_small = _limit_refusal(reading.conversation, fields, target)
        if too_small is not None:
            return too_small
        self._reply = self._replied(reading.conversation, is_usage_asked=asks_usage(fields))
        written = self._provider.write_request(_with_call_ids(reading.conversation, target.row.call_id_letters), target)
        refused = strip_refused(written.fields, target)
        sent = msgspec.json.encode(written.fields)
        unlisted: tuple[str, ...] | Refusal = ()
        if target.row.supported_params is not None:
            fields = _FIELDS.decode(sent)
            unlisted = strip_unlisted(fields, self._provider, target, asked=reading.uses)
            sent = bodies.join_fields(fields)
        if isinstance(unlisted, Refusal):
            return unlisted
        path = with_query(self._provider.path(target), self._setting.row.query)
        named = (*dropped, *written.dropped, *refused, *unlisted)
        return Outgoing(path, sent, self._provider.headers(NO_HEADERS), named)

    def _replied(self, conversation: chat.Conversation, *, is_usage_asked: bool) -> Reply:
        setting = self._setting
        is_end_marked = setting.row.is_done_marker_sent
        return Reply(setting.request_id, setting.now_ms // 1000, is_usage_asked, is_end_marked, conversation)

    def _read(self, body: bytes, tally: Tally) -> bytes:
        answer = self._provider.read_answer(body, self._reply)
        if isinstance(answer, Said):
            tally.said = answer
            return b""
        if not answer.choices:
            tally.broken = "it has no choices"
            return b""
        tally_answer(answer, tally)
        return self._client.write_answer(answer, self._reply)

    def stream(self) -> StreamBridge:
        """Read this attempt's stream."""
        return HubStream(self._setting, self._client, self._provider, self._reply)


_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def _limit_refusal(conversation: chat.Conversation, fields: bodies.Fields, target: Target) -> Refusal | None:
    """A limit below the least that the model takes is not raised: caller and hold asked for less."""
    limit, least = target.output_limit(conversation), tokens_output_least(target.row, target.model_sent)
    if limit is None or limit >= least:
        return None
    path = next((name for name in _LIMITS if name in fields), "max_tokens")
    said = f"{path}: this model takes no output limit below {least}, and this request's is {limit}."
    return refuse("unsupported_parameter", f"{said} Raise it, or choose another model.", param=path)


def _with_call_ids(conversation: chat.Conversation, letters: int) -> chat.Conversation:
    if not letters:
        return conversation
    return msgspec.structs.replace(conversation, messages=turns.with_call_ids(conversation.messages, letters))


def _without_reasoning(reading: Reading) -> Reading:
    """For a model that does not reason: the wish is gone, its uses stay to be named, unless it was not to reason."""
    reasoning = reading.conversation.reasoning
    is_none = reasoning is not None and reasoning.effort == "none"
    uses = tuple(use for use in reading.uses if not (is_none and use.feature in REASONING))
    return Reading(msgspec.structs.replace(reading.conversation, reasoning=None), uses)


class HubStream(StreamBridge):
    """Frames to events to frames."""

    def __init__(self, setting: Setting, client: Dialect, provider: Dialect, reply: Reply) -> None:
        super().__init__(setting, is_end_marked=True)
        self._reader = provider.reader(reply)
        self._writer = client.writer(reply)

    def _take(self, frame: Frame) -> bytes:
        return self._written(self._reader.read(frame))

    def _close(self) -> bytes:
        return self._written(self._reader.end())

    def _written(self, events: list[chat.Event]) -> bytes:
        for event in events:
            tally_event(event, self._tally)
        return b"".join(map(self._writer.write, events))

    def _end(self) -> bytes:
        return self._writer.finish()


def tally_answer(answer: chat.Answer, tally: Tally) -> None:
    """What a whole answer shows."""
    tally.usage = answer.usage
    tally.model_answered = answer.model
    tally.stop_reason = answer.choices[0].stop
    tally.text_bytes = sum(_part_bytes(part) for choice in answer.choices for part in choice.parts)
    tally.has_content = tally.text_bytes > 0
    tally.is_begun = tally.is_complete = tally.is_terminal = True


def _part_bytes(part: chat.Part) -> int:
    match part:
        case chat.Text() | chat.Thinking() | chat.Refused():
            return len(part.text.encode())
        case chat.ToolCall():
            return len(part.name.encode()) + len(part.arguments.encode())
        case _:
            return 0


def tally_event(event: chat.Event, tally: Tally) -> None:
    """What one event shows."""
    match event:
        case chat.Added():
            tally.text_bytes += len(event.text.encode())
            tally.has_content = True
        case chat.Opened(part=chat.ToolCall() as call):
            tally.text_bytes += len(call.name.encode())
            tally.has_content = True
        case chat.Started():
            tally.is_begun = True
            tally.model_answered = event.model
        case chat.Stopped():
            tally.stop_reason = event.stop
            tally.is_complete = True
        case chat.Counted():
            tally.usage = event.usage
            tally.notes += event.notes
        case chat.Failed():
            tally.said = Said(event.message, event.kind, event.code, status=event.status)
        case chat.Ended():
            tally.is_terminal = True
        case _:
            pass
