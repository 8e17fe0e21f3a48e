"""Golden bytes of every provider: read whole, read as a stream, passed through, and brought to every client."""

from pathlib import Path

import msgspec
import pytest

from tests.dialects.support import CHAT, NOW_MS, asked, cut, made, out_of, steps_of
from tollway.dialects.bridge import CHAT_DIALECTS, Served
from tollway.dialects.dialect import Reply
from tollway.dialects.fold import fold
from tollway.dialects.sse import Splitter
from tollway.wire import chat
from tollway.wire.plan import DialectName
from tollway.wire.usage import Usage

GOLDEN = Path(__file__).parent / "golden"
REPLY = Reply("rq_1", NOW_MS // 1000, is_usage_asked=True)
CASES = [(dialect, path.stem) for dialect in CHAT for path in sorted((GOLDEN / dialect).glob("*.json"))]
cases = pytest.mark.parametrize(("provider", "case"), CASES)
clients = pytest.mark.parametrize("client", CHAT)


def golden(dialect: str, case: str, kind: str) -> bytes:
    return (GOLDEN / dialect / f"{case}.{kind}").read_bytes()


def whole(dialect: DialectName, body: bytes) -> chat.Answer:
    answer = CHAT_DIALECTS[dialect].read_answer(body, REPLY)
    assert isinstance(answer, chat.Answer), answer
    return answer


def folded(dialect: DialectName, data: bytes) -> chat.Answer:
    reader, splitter = CHAT_DIALECTS[dialect].reader(REPLY), Splitter()
    events = [event for frame in splitter.feed(data) for event in reader.read(frame)]
    return fold([*events, *reader.end()])


def test_every_dialect_has_golden_bytes_both_whole_and_streamed() -> None:
    for dialect in CHAT:
        stems = {kind: {path.stem for path in (GOLDEN / dialect).glob(f"*.{kind}")} for kind in ("json", "sse")}
        assert len(stems["json"]) >= 3
        assert stems["json"] == stems["sse"]


@cases
def test_the_fold_of_a_golden_stream_is_its_whole_answer(provider: DialectName, case: str) -> None:
    assert folded(provider, golden(provider, case, "sse")) == whole(provider, golden(provider, case, "json"))


@cases
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_golden_bytes_pass_untouched_and_are_understood(provider: DialectName, case: str, size: int) -> None:
    bridge = made(provider, provider)
    if provider == "openai_chat":
        asked(bridge, {"model": "m", "messages": [], "stream_options": {"include_usage": True}}, is_stream=True)
    answer = whole(provider, golden(provider, case, "json"))
    served = bridge.answer(200, golden(provider, case, "json"))
    assert isinstance(served, Served)
    assert served.body == golden(provider, case, "json")
    assert (served.usage, served.model_answered) == (answer.usage, answer.model)
    steps = steps_of(bridge.stream(), cut(golden(provider, case, "sse"), size))
    assert steps[-1].fault is None
    assert out_of(steps) == golden(provider, case, "sse")
    assert (steps[-1].usage, steps[-1].model_answered) == (answer.usage, answer.model)
    assert steps[-1].stop_reason == served.stop_reason


@cases
@clients
def test_golden_bytes_reach_every_client_whole_and_streamed_alike(
    client: DialectName, provider: DialectName, case: str
) -> None:
    bridge = made(client, provider)
    served = bridge.answer(200, golden(provider, case, "json"))
    assert isinstance(served, Served), served
    steps = steps_of(bridge.stream(), cut(golden(provider, case, "sse"), 61))
    assert all(step.fault is None for step in steps)
    from_whole, from_stream = whole(client, served.body), folded(client, out_of(steps))
    assert told(from_stream, client) == told(from_whole, client)
    assert steps[-1].usage == served.usage
    assert steps[-1].stop_reason == served.stop_reason


def told(answer: chat.Answer, client: DialectName) -> chat.Answer:
    """Without usage, that not every client is told; a whole message of OpenAI chat has its thoughts first."""
    choices = tuple(
        msgspec.structs.replace(choice, parts=tuple(map(tight, in_order(choice.parts, client))))
        for choice in answer.choices
    )
    return msgspec.structs.replace(answer, usage=None, choices=choices)


def in_order(parts: tuple[chat.Part, ...], client: DialectName) -> list[chat.Part]:
    is_flat = client == "openai_chat"
    return sorted(parts, key=lambda part: is_flat and not isinstance(part, chat.Thinking))


def tight(part: chat.Part) -> chat.Part:
    """Arguments without their white space, which is an object's in a whole answer and the model's in a stream."""
    if not isinstance(part, chat.ToolCall):
        return part
    return msgspec.structs.replace(part, arguments=msgspec.json.format(part.arguments, indent=-1))


# what the figures mean, written down once by hand

USAGES: dict[tuple[DialectName, str], Usage] = {
    ("openai_chat", "text"): Usage(1117, 9, 1024, None, 0, 0, 0, "default"),
    ("openai_chat", "reasoning"): Usage(15, 30, 0, None, 24),
    ("openai_responses", "reasoning"): Usage(90, 58, 64, None, 48, service="default"),
    ("anthropic_messages", "text"): Usage(25, 12, 0, 0, tokens_cache_write_hour=0),
    ("anthropic_messages", "tools"): Usage(2245, 131, 2048, 188, tokens_cache_write_hour=0),
    ("gemini", "text"): Usage(8, 11),
    ("gemini", "tools"): Usage(60, 122, 32, None, 100),
}


@pytest.mark.parametrize(("dialect", "case"), USAGES)
def test_usage_means_the_same_in_every_dialect(dialect: DialectName, case: str) -> None:
    assert whole(dialect, golden(dialect, case, "json")).usage == USAGES[dialect, case]


def test_thoughts_calls_and_signatures_are_read() -> None:
    parts = whole("anthropic_messages", golden("anthropic_messages", "tools", "json")).choices[0].parts
    assert parts == (
        chat.Thinking(
            "I should look at both cities.", chat.Signature("anthropic_messages", "EqQBCgIYAhIM1gbcDa9GJwZA2b3h==")
        ),
        chat.Text("Let me check."),
        chat.ToolCall("toolu_01A", "get_weather", '{"city":"Oslo","unit":"c"}'),
        chat.ToolCall("toolu_01B", "now", "{}"),
    )
    parts = whole("gemini", golden("gemini", "tools", "json")).choices[0].parts
    assert parts == (
        chat.Thinking("**Planning**\n\nTwo cities, two calls.", chat.Signature("gemini", "CiQB0e2KbxYz+/==")),
        chat.ToolCall("call_kB2baY_0_0", "get_weather", '{"city":"Oslo"}'),
        chat.ToolCall("call_kB2baY_0_1", "get_weather", '{"city":"Rome"}'),
    )
