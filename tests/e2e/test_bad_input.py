"""What bad input gets: the right status, code and sentence, nothing durable, and the next request is served."""

import http.client
import json
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.gateway import Gateway
from tollway.wire.keys import write_key

GOOD: dict[str, Any] = {"model": "simulator:echo", "messages": [{"role": "user", "content": "hi"}]}
UNKNOWN_KEY = write_key("tw", id="0" * 12, secret="0" * 32)
BODIES: list[tuple[str, bytes, int, str]] = [
    ("not JSON", b"{", 400, "invalid_request_body"),
    ("empty", b"", 400, "invalid_request_body"),
    ("a list", b"[]", 400, "invalid_request_body"),
    ("model is a number", json.dumps(GOOD | {"model": 5}).encode(), 400, "invalid_request_body"),
    ("models is a string", json.dumps(GOOD | {"models": "gpt-4o"}).encode(), 400, "invalid_request_body"),
    ("no model", json.dumps({"messages": GOOD["messages"]}).encode(), 400, "invalid_request_body"),
    ("no messages", json.dumps({"model": "simulator:echo"}).encode(), 400, "invalid_request_body"),
    ("twice the same field", b'{"model": "a", "model": "b", "messages": []}', 400, "invalid_request_body"),
    ("not a number", b'{"model": "simulator:echo", "messages": [], "temperature": NaN}', 400, "invalid_request_body"),
    ("not UTF-8", b'{"model": "\xff"}', 400, "invalid_request_body"),
    ("too deep", b'{"model": "a", "messages": ' + b"[" * 100 + b"]" * 100 + b"}", 400, "invalid_request_body"),
    ("unknown model", json.dumps(GOOD | {"model": "gpt-nonexistent"}).encode(), 422, "model_unknown"),
]
KEYS: list[tuple[str, dict[str, str], int, str]] = [
    ("no key", {}, 401, "no_api_key"),
    ("malformed key", {"Authorization": "Bearer sk-1"}, 401, "invalid_access_key"),
    ("unknown key", {"Authorization": f"Bearer {UNKNOWN_KEY}"}, 401, "invalid_access_key"),
    ("not a bearer", {"Authorization": "Basic dXNlcjpwYXNz"}, 401, "no_api_key"),
]


def post(
    gateway: Gateway, body: bytes, headers: dict[str, str] | None = None, path: str = "/v1/chat/completions"
) -> tuple[int, dict[str, Any]]:
    key = {"Authorization": f"Bearer {gateway.credentials['accessKey']}"}
    link = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        told = {"Content-Type": "application/json"} | (key if headers is None else headers)
        link.request("POST", path, body, told)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        link.close()


def durable(gateway: Gateway) -> dict[str, int]:
    """How much is written for ever."""
    counts: dict[str, int] = {}
    for name, table in (("journal.db", "ledger_block"), ("auth.db", "auth_event")):
        with closing(sqlite3.connect(f"file:{gateway.data / name}?mode=ro", uri=True)) as database:
            counts[table] = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return counts


def settled(gateway: Gateway) -> dict[str, int]:
    """The same, once earlier requests have been written."""
    before = durable(gateway)
    while True:
        time.sleep(0.3)
        now = durable(gateway)
        if now == before:
            return now
        before = now


@pytest.mark.parametrize(("body", "status", "code"), [pytest.param(*row[1:], id=row[0]) for row in BODIES])
def test_a_bad_body_is_refused_with_its_code_and_writes_nothing(
    gateway: Gateway, body: bytes, status: int, code: str
) -> None:
    before = settled(gateway)
    answered, error = post(gateway, body)
    assert (answered, error["error"]["code"]) == (status, code)
    assert error["error"]["message"]
    assert durable(gateway) == before


@pytest.mark.parametrize(("headers", "status", "code"), [pytest.param(*row[1:], id=row[0]) for row in KEYS])
def test_a_bad_key_is_refused_with_its_code_and_writes_nothing(
    gateway: Gateway, headers: dict[str, str], status: int, code: str
) -> None:
    before = settled(gateway)
    answered, error = post(gateway, json.dumps(GOOD).encode(), headers)
    assert (answered, error["error"]["code"]) == (status, code)
    assert durable(gateway) == before


def test_an_api_key_is_no_access_key_and_the_reverse(gateway: Gateway) -> None:
    api_key, access_key = gateway.credentials["apiKey"], gateway.credentials["accessKey"]
    assert post(gateway, json.dumps(GOOD).encode(), {"Authorization": f"Bearer {api_key}"})[0] == 401
    assert gateway.get("/api/credits/balance", key=access_key)[0] == 401


def test_a_body_over_the_limit_is_refused(gateway: Gateway) -> None:
    body = json.dumps(GOOD | {"padding": "x" * (33 * 1024 * 1024)}).encode()
    assert post(gateway, body)[0] == 413


def test_the_refusal_wears_the_callers_dialect(gateway: Gateway) -> None:
    status, error = post(gateway, b"{", path="/v1/messages")
    assert (status, error["type"], error["error"]["type"]) == (400, "error", "invalid_request_error")


def test_an_account_without_credit_is_refused_before_any_provider_is_called(gateway: Gateway) -> None:
    poor = gateway.post("/accounts", {"name": "poor"})["apiKey"]["token"]
    key = gateway.post("/access-keys", {"name": "of the poor"}, key=poor)["token"]
    before, served = settled(gateway), gateway.tally()
    status, error = post(gateway, json.dumps(GOOD).encode(), {"Authorization": f"Bearer {key}"})
    assert (status, error["error"]["code"]) == (403, "insufficient_credits")
    assert (durable(gateway), gateway.tally()) == (before, served)


def test_after_all_that_it_serves_and_no_log_has_a_traceback(gateway: Gateway) -> None:
    for _, body, _, _ in BODIES:
        post(gateway, body)
    assert post(gateway, json.dumps(GOOD).encode())[0] == 200
    logs = {path.name: path.read_text(errors="replace") for path in (gateway.data / "logs").iterdir()}
    assert [name for name, text in logs.items() if "Traceback" in text] == []
