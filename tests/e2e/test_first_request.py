"""What a stranger sees: one command, a stock client, an answer, and what it cost."""

import json
import stat

import openai
import pytest

from tests.e2e.gateway import Gateway, cost_nusd
from tests.telemetry.receiver import OtlpReceiver
from tollway.wire.money import nusd_of_dollars

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

    def of_request(spans: list[object]) -> bool:
        return len(attempt_spans(receiver, request_id)) == 2

    receiver.wait_for(of_request)
    spans = attempt_spans(receiver, request_id)
    assert set(spans) == {attempt["event"]["attemptId"] for attempt in attempts}
    trace_id = answer.headers["traceparent"].split("-")[1]
    assert {span.trace_id for span in spans.values()} == {trace_id}
    services = {span.service for span in receiver.spans if span.trace_id == trace_id}
    assert services >= {"ingress", "adapter"}


def attempt_spans(receiver: OtlpReceiver, request_id: str) -> dict[str, object]:
    """Spans of attempts of a request, by span id."""
    return {
        span.span_id: span
        for span in receiver.spans
        if span.name.startswith("attempt") and span.attributes.get("tollway.request_id") == request_id
    }


def test_the_balance_falls_by_exactly_what_the_usage_rows_cost(gateway: Gateway) -> None:
    before, known = gateway.balance_nusd(), len(gateway.usage(0))
    for count in range(1, 6):
        gateway.client().chat.completions.create(
            model="simulator:echo", messages=[{"role": "user", "content": "word " * count * 7}]
        )
    rows = gateway.usage(known + 5)[known:]
    assert all(row["isFinalAttempt"] for row in rows)
    assert before - gateway.balance_nusd() == cost_nusd(rows) > 0


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
