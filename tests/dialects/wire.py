"""A stock SDK on one side, a scripted provider on the other, and a bridge between them: no network, real bytes."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx2

from tests.dialects.support import NOW_MS, cut, made
from tollway.dialects.attempt import Bridge
from tollway.dialects.bodies import read_fields
from tollway.dialects.bridge import CHAT_DIALECTS, CONTENT_TYPE_SSE, Outgoing, Served, error_event, write_refusal
from tollway.dialects.dialect import Reply
from tollway.dialects.fold import unfold
from tollway.dialects.reading import Reading
from tollway.wire import chat
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Usage

Turn = chat.Answer | Callable[[chat.Conversation], chat.Answer] | httpx2.Response | bytes
"""An answer; a model; an error answer of the provider; or a stream's bytes, which may be broken."""

REPLY = Reply("rq_1", NOW_MS // 1000, is_usage_asked=True)


def said(*parts: chat.Part, stop: chat.StopReason | None = None, usage: Usage | None = None) -> chat.Answer:
    """An answer of these parts."""
    is_calling = any(isinstance(part, chat.ToolCall) for part in parts)
    choice = chat.Choice(parts, stop or ("tool_calls" if is_calling else "stop"))
    return chat.Answer("answer7", "model-9", (choice,), usage or Usage(11, 7, 0, 0, 0), NOW_MS // 1000)


class Wire:
    """The way from an SDK to a provider and back. `conversations` is what the provider was asked, in order."""

    def __init__(self, client: DialectName, provider: DialectName, turns: Sequence[Turn], **facts: Any) -> None:
        self._client = client
        self._provider = provider
        self._turns = list(turns)
        self._facts = facts
        self.conversations: list[chat.Conversation] = []
        self.requests: list[dict[str, Any]] = []
        self.dropped: list[tuple[str, ...]] = []

    def transport(self) -> httpx2.MockTransport:
        """For an SDK's HTTP client."""
        return httpx2.MockTransport(self._handle)

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        body = request.content
        is_stream = "stream" in request.url.path or bool(json.loads(body).get("stream"))
        bridge = made(self._client, self._provider, **self._facts)
        outgoing = bridge.request(body, model_sent="sent-model", tokens_output_cap=None, is_stream=is_stream)
        if isinstance(outgoing, Refusal):
            return self._refused(outgoing)
        self._note(outgoing)
        turn = self._turns.pop(0)
        if isinstance(turn, httpx2.Response):
            return self._failed(bridge, turn)
        if callable(turn):
            turn = turn(self.conversations[-1])
        return self._streamed(bridge, turn) if is_stream else self._whole(bridge, turn)

    def _refused(self, refusal: Refusal) -> httpx2.Response:
        body = write_refusal(self._client, refusal, "rq_1")
        return httpx2.Response(refusal.rule.status, content=body, headers={"content-type": "application/json"})

    def _note(self, outgoing: Outgoing) -> None:
        fields = read_fields(outgoing.body)
        assert not isinstance(fields, Refusal)
        reading = CHAT_DIALECTS[self._provider].read_request(outgoing.body, fields)
        assert isinstance(reading, Reading), reading
        self.conversations.append(reading.conversation)
        self.requests.append(json.loads(outgoing.body))
        self.dropped.append(outgoing.dropped)

    def _failed(self, bridge: Bridge, response: httpx2.Response) -> httpx2.Response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        fault = bridge.fault(response.status_code, headers, response.content, now_ms=NOW_MS)
        return httpx2.Response(fault.status, content=fault.body, headers={"content-type": "application/json"})

    def _whole(self, bridge: Bridge, answer: Any) -> httpx2.Response:
        served = bridge.answer(200, CHAT_DIALECTS[self._provider].write_answer(answer, REPLY))
        assert isinstance(served, Served), served
        return httpx2.Response(200, content=served.body, headers={"content-type": "application/json"})

    def _streamed(self, bridge: Bridge, answer: Any) -> httpx2.Response:
        data = answer if isinstance(answer, bytes) else stream_bytes(self._provider, answer)
        stream = bridge.stream()
        steps = [*(step for piece in cut(data, 97) for step in stream.feed(piece)), stream.finish()]
        out = b"".join(step.out for step in steps)
        if any(step.fault is not None for step in steps):
            out += error_event(self._client, refuse("upstream_error"), "rq_1")
        return httpx2.Response(200, content=out, headers={"content-type": CONTENT_TYPE_SSE})


def stream_bytes(provider: DialectName, answer: chat.Answer) -> bytes:
    """An answer as this provider streams it."""
    writer = CHAT_DIALECTS[provider].writer(REPLY)
    return b"".join(map(writer.write, unfold(answer, chars=4))) + writer.finish()
