"""Every client dialect against every provider dialect: nothing is lost on the way, in requests, answers and streams."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dialects.conversations import (
    HAS_CHOICES,
    HAS_LOGPROBS,
    answered,
    answers,
    carried,
    conversations,
    joined,
    told,
)
from tests.dialects.support import CHAT, NOW_MS, PAIRS, asked, cut, made, out_of, row, steps_of
from tollway.dialects.bodies import read_fields
from tollway.dialects.bridge import CHAT_DIALECTS, Served
from tollway.dialects.dialect import Dialect, Reply
from tollway.dialects.fold import fold, unfold
from tollway.dialects.passing import make_target
from tollway.dialects.reading import Reading
from tollway.dialects.sse import Splitter
from tollway.wire import chat
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

REPLY = Reply("rq_1", NOW_MS // 1000, is_usage_asked=True)
TOGETHER_ONLY = {"reasoning", "temperature", "top_p", "top_k"}
"""What Anthropic takes, but not all of it together."""
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def write(dialect: Dialect, conversation: chat.Conversation) -> dict[str, Any]:
    """A client's request, as its own dialect writes it."""
    target = make_target(
        row(dialect.name, usage_in_stream="never"),
        surface="chat",
        model_sent="asked-model",
        tokens_output_cap=None,
        is_stream=False,
        carries=dialect.carries,
    )
    return {"model": "asked-model", **dialect.write_request(conversation, target).fields}


def encoded(fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode(fields)


def plain(value: Any) -> Any:
    """As plain values without defaults, so that a difference can be read."""
    if isinstance(value, tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, msgspec.Raw):
        return bytes(value)
    if not isinstance(value, msgspec.Struct):
        return value
    found = {name: plain(inner) for name, inner in msgspec.structs.asdict(value).items()}
    return {
        "": type(value).__name__,
        **{name: inner for name, inner in found.items() if inner not in (None, "", [], b"")},
    }


def read(dialect: Dialect, body: bytes) -> Reading:
    fields = read_fields(body)
    assert not isinstance(fields, Refusal)
    reading = dialect.read_request(body, fields)
    assert isinstance(reading, Reading), reading
    return reading


def common(client: DialectName, provider: DialectName) -> frozenset[Any]:
    return CHAT_DIALECTS[client].carries & CHAT_DIALECTS[provider].carries


# -- requests


@pytest.mark.parametrize("name", CHAT)
@QUICK
@given(data=st.data())
def test_a_dialect_reads_what_it_wrote(name: DialectName, data: st.DataObject) -> None:
    dialect = CHAT_DIALECTS[name]
    conversation = data.draw(conversations(dialect.carries))
    reading = read(dialect, encoded(write(dialect, conversation)))
    assert reading.conversation == told(conversation, name)
    assert {use.feature for use in reading.uses} <= dialect.carries


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@QUICK
@given(data=st.data())
def test_what_both_sides_know_arrives_whole(client: DialectName, provider: DialectName, data: st.DataObject) -> None:
    conversation = data.draw(conversations(common(client, provider)))
    out = asked(made(client, provider), encoded(write(CHAT_DIALECTS[client], conversation)))
    arrived = read(CHAT_DIALECTS[provider], out.body).conversation
    expected = told(conversation, client)
    assert plain(joined(arrived)) == plain(joined(expected if client == provider else told(expected, provider)))
    assert set(out.dropped) <= TOGETHER_ONLY


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@QUICK
@given(data=st.data())
def test_what_one_side_does_not_know_is_refused_by_path_or_dropped_by_name(
    client: DialectName, provider: DialectName, data: st.DataObject
) -> None:
    if client == provider:
        return
    ours, theirs = CHAT_DIALECTS[client], CHAT_DIALECTS[provider]
    conversation = data.draw(conversations(ours.carries))
    body = encoded(write(ours, conversation))
    missing = [use for use in read(ours, body).uses if use.feature not in theirs.carries]
    out = made(client, provider).request(body, model_sent="m", tokens_output_cap=None, is_stream=False)
    if isinstance(out, Refusal):
        assert out.code == "unsupported_parameter"
        assert out.param in {use.path for use in missing}
        assert out.param in out.message
        return
    assert bool(set(out.dropped) - TOGETHER_ONLY) == bool(missing)
    arrived = read(theirs, out.body).conversation
    assert plain(joined(arrived)) == plain(joined(told(carried(told(conversation, client), theirs.carries), provider)))


# -- answers


def ready(client: DialectName, provider: DialectName):
    """A bridge that was asked for usage."""
    bridge = made(client, provider)
    request = write(CHAT_DIALECTS[client], chat.Conversation((chat.Message("user", (chat.Text("hi"),)),)))
    options = {"stream_options": {"include_usage": True}} if client == "openai_chat" else {}
    asked(bridge, {**request, "stream": True, **options}, is_stream=True)
    return bridge


def drawn_answer(client: DialectName, provider: DialectName, data: st.DataObject) -> chat.Answer:
    is_plural = client in HAS_CHOICES and provider in HAS_CHOICES
    has_logprobs = client in HAS_LOGPROBS and provider in HAS_LOGPROBS
    return data.draw(answers(is_plural=is_plural, has_logprobs=has_logprobs))


def expected_answer(answer: chat.Answer, client: DialectName, provider: DialectName) -> chat.Answer:
    return answered(answered(answer, provider), client)


def stream_of(dialect: Dialect, answer: chat.Answer, *, chars: int) -> bytes:
    writer = dialect.writer(REPLY)
    return b"".join(map(writer.write, unfold(answer, chars=chars))) + writer.finish()


def folded(dialect: Dialect, data: bytes) -> chat.Answer:
    reader, splitter = dialect.reader(REPLY), Splitter()
    events = [event for frame in splitter.feed(data) for event in reader.read(frame)]
    events += reader.end()
    assert isinstance(events[-1], chat.Ended)
    return fold(events)


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@QUICK
@given(data=st.data())
def test_a_whole_answer_arrives_whole(client: DialectName, provider: DialectName, data: st.DataObject) -> None:
    answer = drawn_answer(client, provider, data)
    body = CHAT_DIALECTS[provider].write_answer(answer, REPLY)
    served = ready(client, provider).answer(200, body)
    assert isinstance(served, Served), served
    assert CHAT_DIALECTS[client].read_answer(served.body, REPLY) == expected_answer(answer, client, provider)
    assert served.usage == answered(answer, provider).usage
    assert client != provider or served.body == body


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@QUICK
@given(data=st.data(), size=st.integers(1, 3000), chars=st.integers(0, 5))
def test_the_fold_of_a_stream_is_the_whole_answer(
    client: DialectName, provider: DialectName, data: st.DataObject, size: int, chars: int
) -> None:
    answer = drawn_answer(client, provider, data)
    streamed = stream_of(CHAT_DIALECTS[provider], answer, chars=chars)
    steps = steps_of(ready(client, provider).stream(), cut(streamed, size))
    assert all(step.fault is None for step in steps), steps[-1].fault
    expected = expected_answer(answer, client, provider)
    assert folded(CHAT_DIALECTS[client], out_of(steps)) == expected
    assert client != provider or out_of(steps) == streamed
    assert steps[-1].usage == answered(answer, provider).usage
    assert any(step.has_content for step in steps)
    assert sum(step.text_bytes for step in steps) > 0 or all(
        isinstance(part, chat.Thinking) for choice in answer.choices for part in choice.parts
    )


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@QUICK
@given(data=st.data(), kept=st.floats(0, 1, exclude_max=True))
def test_a_cut_stream_never_ends_in_success(
    client: DialectName, provider: DialectName, data: st.DataObject, kept: float
) -> None:
    answer = drawn_answer(client, provider, data)
    streamed = stream_of(CHAT_DIALECTS[provider], answer, chars=3).rstrip(b"\n")
    end = streamed.rindex(b"data: ")
    steps = steps_of(ready(client, provider).stream(), cut(streamed[: int(end * kept)], 100))
    assert [step.fault.error_class for step in steps if step.fault is not None] == ["malformed"]
    out = out_of(steps)
    assert not any(word in out for word in (b"[DONE]", b"message_stop", b"response.completed", b"finishReason"))


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_random_bytes_are_a_fault_and_no_surprise(client: DialectName, provider: DialectName) -> None:
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.binary(max_size=60) | st.sampled_from([b"data: ", b"\n\n", b'{"choices":[{}]}', b"[DONE]"]), max_size=8
        )
    )
    def runs(chunks: list[bytes]) -> None:
        steps = steps_of(made(client, provider).stream(), chunks)
        last = steps[-1]
        assert (last.fault is None) == (last.is_terminal or any(step.fault for step in steps[:-1]))

    runs()


# -- counting


def test_the_matrix_is_the_whole_matrix() -> None:
    assert len(PAIRS) == len(CHAT_DIALECTS) ** 2
    assert set(CHAT) == set(CHAT_DIALECTS)
