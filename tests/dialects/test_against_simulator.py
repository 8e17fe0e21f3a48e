"""The simulator, written apart from the dialects, as the provider: every client, every dialect, good days and bad."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.dialects.support import CHAT, NOW_MS, asked, made
from tollway.dialects.bridge import CHAT_DIALECTS, Served, Step
from tollway.dialects.dialect import Reply
from tollway.dialects.faults import ErrorClass, Fault
from tollway.dialects.fold import fold
from tollway.dialects.sse import Splitter
from tollway.simulator import Simulator, start
from tollway.wire import chat
from tollway.wire.plan import DialectName

ROOTS: dict[DialectName, str] = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "/v1",
    "gemini": "/v1beta",
}
BODIES: dict[DialectName, dict[str, Any]] = {
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "hello there"}]},
    "openai_responses": {"model": "m", "input": "hello there"},
    "anthropic_messages": {
        "model": "m",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "hello there"}],
    },
    "gemini": {"model": "m", "contents": [{"role": "user", "parts": [{"text": "hello there"}]}]},
}
REPLY = Reply("rq_1", NOW_MS // 1000, is_usage_asked=True)
ways = pytest.mark.parametrize(("client", "provider"), [(client, provider) for client in CHAT for provider in CHAT])


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await start("127.0.0.1", 0)
    yield running
    await running.stop()


class Caller:
    """Makes the calls that an adapter makes."""

    def __init__(self, simulator: Simulator, http: httpx.AsyncClient) -> None:
        self._simulator = simulator
        self._http = http

    async def whole(self, client: DialectName, provider: DialectName, model: str) -> Served | Fault:
        bridge = made(client, provider)
        response = await self._sent(bridge, client, provider, model, is_stream=False)
        if response.status_code != 200:
            return bridge.fault(response.status_code, dict(response.headers), response.content, now_ms=NOW_MS)
        return bridge.answer(200, response.content)

    async def streamed(self, client: DialectName, provider: DialectName, model: str) -> list[Step] | Fault:
        bridge = made(client, provider)
        response = await self._sent(bridge, client, provider, model, is_stream=True)
        if response.status_code != 200:
            return bridge.fault(response.status_code, dict(response.headers), response.content, now_ms=NOW_MS)
        stream = bridge.stream()
        data = response.content
        steps = [step for start_ in range(0, len(data), 61) for step in stream.feed(data[start_ : start_ + 61])]
        return [*steps, stream.finish()]

    async def _sent(
        self, bridge: Any, client: DialectName, provider: DialectName, model: str, *, is_stream: bool
    ) -> httpx.Response:
        body = {**BODIES[client], **({"stream": True} if is_stream else {})}
        if is_stream and client == "openai_chat":
            body["stream_options"] = {"include_usage": True}
        out = asked(bridge, body, cap=300, is_stream=is_stream, model=model)
        url = self._simulator.base_url + ROOTS[provider] + out.path
        headers = {**out.headers, "authorization": "Bearer sk-test-1234"}
        return await self._http.post(url, content=out.body, headers=headers)


@pytest.fixture
async def caller(simulator: Simulator) -> AsyncIterator[Caller]:
    async with httpx.AsyncClient(timeout=10) as http:
        yield Caller(simulator, http)


def folded(client: DialectName, steps: list[Step]) -> chat.Answer:
    reader, splitter = CHAT_DIALECTS[client].reader(REPLY), Splitter()
    data = b"".join(step.out for step in steps)
    return fold([*(event for frame in splitter.feed(data) for event in reader.read(frame)), *reader.end()])


@ways
@pytest.mark.parametrize("model", ["echo", "think"])
async def test_what_the_simulator_says_arrives_whole_and_streamed(
    client: DialectName, provider: DialectName, model: str, caller: Caller
) -> None:
    served = await caller.whole(client, provider, model)
    steps = await caller.streamed(client, provider, model)
    assert isinstance(served, Served), served
    assert isinstance(steps, list)
    assert steps[-1].fault is None
    whole = CHAT_DIALECTS[client].read_answer(served.body, REPLY)
    assert isinstance(whole, chat.Answer)
    for answer in (whole, folded(client, steps)):
        texts = "".join(part.text for part in answer.choices[0].parts if isinstance(part, chat.Text))
        assert "hello there" in texts
        assert any(isinstance(part, chat.Thinking) for part in answer.choices[0].parts) == (model == "think")
        assert answer.usage == folded(client, steps).usage
    assert served.usage is not None
    assert served.usage.tokens_output
    assert steps[-1].usage == served.usage


BAD_DAYS: dict[str, ErrorClass] = {
    "fail-400": "bad_request",
    "fail-key": "bad_credential",
    "fail-403": "bad_credential",
    "fail-404": "model_missing",
    "fail-409": "retryable_conflict",
    "fail-413": "too_large",
    "fail-context": "context_length",
    "fail-content-policy": "content_policy",
    "fail-429-retry-after": "rate_limit",
    "fail-500": "server",
    "fail-529": "overloaded",
    "fail-html": "malformed",
    "fail-empty": "malformed",
    "fail-garbage": "malformed",
    "fail-no-done": "malformed",
}


@pytest.mark.parametrize("provider", CHAT)
@pytest.mark.parametrize("model", BAD_DAYS)
async def test_a_failure_of_the_simulator_has_its_class_for_every_client(
    provider: DialectName, model: str, caller: Caller
) -> None:
    is_told_in_a_200 = model == "fail-content-policy" and provider == "gemini"
    for client in CHAT:
        if is_told_in_a_200 and client == "gemini":
            continue  # Gemini's own clients know it as an answer
        whole = await caller.whole(client, provider, model)
        steps = await caller.streamed(client, provider, model)
        streamed = steps if isinstance(steps, Fault) else next(step.fault for step in steps if step.fault is not None)
        for fault in (whole, streamed):
            assert isinstance(fault, Fault), fault
            assert fault.error_class == BAD_DAYS[model]
            assert json.loads(fault.body)["error"]["message"]
            assert (fault.retry_after_s is not None) == (model == "fail-429-retry-after")


@ways
async def test_an_error_inside_a_stream_is_no_success(
    client: DialectName, provider: DialectName, caller: Caller
) -> None:
    steps = await caller.streamed(client, provider, "fail-error-in-stream")
    assert isinstance(steps, list)
    faults = [step.fault for step in steps if step.fault is not None]
    assert [fault.error_class in ("server", "overloaded") for fault in faults] == [True]


@ways
async def test_a_filtered_answer_says_so(client: DialectName, provider: DialectName, caller: Caller) -> None:
    served = await caller.whole(client, provider, "fail-filter")
    assert isinstance(served, Served), served
    assert served.is_content_filter
