"""What a stranger sees: one command, a stock client, an answer, and what it cost."""

import json
import stat
from collections.abc import Sequence

import openai
import pytest

from tests.e2e.gateway import Gateway, cost_nusd
from tests.telemetry.receiver import OtlpReceiver, ReceivedSpan
from tollway.wire.money import nusd_of_dollars

CALLERS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HELLO = [{"role": "user", "content": "Hello, Tollway!"}]


def test_a_json_answer_comes_with_its_receipt(gateway: Gateway) -> None:
    answer = gateway.client().chat.completions.with_raw_response.create(model="simulator:echo", messages=HELLO)
    assert answer.parse().choices[0].message.content == "Hello, Tollway!"
    assert answer.headers["tollway-attempts"] == "1"
    assert answer.headers["tollway-model"] == "simulator:echo"
    assert answer.headers["tollway-request-id"].startswith("rq_")
    assert nusd_of_dollars(answer.headers["tollway-cost"]) > 0


def test_a_streamed_answer_arrives_in_pieces_and_ends_with_usage(gateway: Gateway) -> None:
    stream = gateway.client().chat.completions.create(
        model="simulator:echo",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == "Hello, Tollway!"
    assert sum(bool(word) for word in words) > 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def spans_of(receiver: OtlpReceiver, traceparent: str, *others: str) -> list[ReceivedSpan]:
    """The whole trace, when root, settlement and the others are in: every process sends its own in its time."""
    trace_id = traceparent.split("-")[1]

    def is_whole(spans: Sequence[ReceivedSpan]) -> bool:
        return {"settle", "POST /v1/chat/completions", *others} <= {
            span.name for span in spans if span.trace_id == trace_id
        }

    receiver.wait_for(is_whole)
    return [span for span in receiver.spans if span.trace_id == trace_id]


def test_a_failed_model_falls_back_and_both_attempts_are_in_the_books_and_in_the_trace(
    gateway: Gateway, receiver: OtlpReceiver
) -> None:
    answer = gateway.client().chat.completions.with_raw_response.create(
        model="simulator:fail-503", extra_body={"models": ["simulator:echo"]}, messages=HELLO
    )
    assert answer.headers["tollway-attempts"] == "2"
    request_id = answer.headers["tollway-request-id"]
    attempts = gateway.request(request_id)["attempts"]
    assert [attempt["retryAction"] for attempt in attempts] == ["next_backend", "succeeded"]
    assert [attempt["served"] for attempt in attempts] == [False, True]
    assert [attempt["event"]["statusCode"] for attempt in attempts] == [503, 200]

    names = "attempt 1 simulator:fail-503", "attempt 2 simulator:echo"
    trace = spans_of(receiver, answer.headers["traceparent"], *names)
    tried = {span.span_id: span for span in trace if span.name.startswith("attempt ")}
    assert tuple(span.name for span in tried.values()) == names
    assert list(tried) == [attempt["event"]["attemptId"] for attempt in attempts]
    assert {span.attributes["tollway.request_id"] for span in tried.values()} == {request_id}
    assert [span.is_error for span in tried.values()] == [True, False]


def test_a_request_is_one_trace_across_all_five_services(gateway: Gateway, receiver: OtlpReceiver) -> None:
    token = gateway.post("/access-keys", {"name": "new, so that nobody remembers it"})["token"]
    answer = gateway.client(api_key=token).chat.completions.with_raw_response.create(
        model="simulator:echo;seed=1", messages=HELLO, extra_headers={"traceparent": CALLERS}
    )
    assert answer.headers["traceparent"].split("-")[1] == CALLERS.split("-")[1]
    trace = spans_of(receiver, CALLERS, "auth.check", "route.plan", "hold.open", "POST")
    assert {span.service for span in trace} == {"ingress", "auth", "router", "adapter", "ledger"}
    root = next(span for span in trace if span.name == "POST /v1/chat/completions")
    assert root.parent_id == CALLERS.split("-")[2]
    known = {span.span_id for span in trace}
    assert {span.parent_id for span in trace} - known == {root.parent_id}
    holds = {span.attributes.get("tollway.hold_id") for span in trace if span.name in ("hold.open", "settle")}
    assert holds == {answer.headers["tollway-request-id"]}


def test_the_balance_falls_by_exactly_what_the_usage_rows_cost(gateway: Gateway) -> None:
    before, known = gateway.balance_nusd(), len(gateway.usage(0))
    for count in range(1, 6):
        gateway.client().chat.completions.create(
            model="simulator:echo", messages=[{"role": "user", "content": "word " * count * 7}]
        )
    rows = gateway.usage(known + 5)[known:]
    assert all(row["isFinalAttempt"] for row in rows)
    assert before - gateway.balance_nusd() == cost_nusd(rows) > 0


def test_whoever_reads_right_after_an_answer_finds_it_settled(gateway: Gateway) -> None:
    path = "/usage?startTime=2020-01-01T00:00:00Z&limit=100"
    for _ in range(3):
        asked = [ask(gateway) for _ in range(4)]
        shown = [row["requestId"] for row in gateway.api(path)["aiGatewayUsage"]]
        assert set(asked) <= set(shown)


def ask(gateway: Gateway) -> str:
    """A request; its id."""
    chat = gateway.client().chat.completions.with_raw_response
    answer = chat.create(model="simulator:echo", messages=[{"role": "user", "content": "quick"}])
    return answer.headers["tollway-request-id"]


def test_the_credentials_are_private_and_complete(gateway: Gateway) -> None:
    path = gateway.data / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    credentials = json.loads(path.read_text())
    assert credentials["baseUrl"] == gateway.base_url
    assert credentials["apiUrl"] == f"{gateway.base_url}/api"
    assert credentials["accessKey"].encode() in gateway.said()
    assert f"curl {gateway.base_url}/v1/chat/completions".encode() in gateway.said()


def test_it_is_alive_and_ready(gateway: Gateway) -> None:
    assert gateway.get("/healthz")[0] == 200
    assert gateway.get("/readyz")[0] == 200


def test_no_secret_is_in_any_log(gateway: Gateway) -> None:
    with pytest.raises(openai.AuthenticationError):
        gateway.client(api_key="tw-canary").models.list()
    secrets = [gateway.credentials["accessKey"], gateway.credentials["apiKey"], "tw-canary", "Hello, Tollway!"]
    logs = [path.read_text(errors="replace") for path in (gateway.data / "logs").iterdir()]
    assert not [secret for secret in secrets if any(secret in text for text in logs)]
