"""Outages, credentials, limits and the connection itself, over HTTP."""

import asyncio
import json
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tollway.simulator import Simulator

BODY = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
CHAT = "/v1/chat/completions"


async def status(http: httpx.AsyncClient, **headers: str) -> int:
    return (await http.post(CHAT, json=BODY, headers=headers)).status_code


async def test_a_model_can_be_turned_bad_for_some_requests(http: httpx.AsyncClient) -> None:
    made = await http.post("/_sim/behaviour", json={"model": "Echo", "as": "fail-503", "until_requests": 2})
    assert made.json() == {"model": "echo", "as": "fail-503", "requests_left": 2, "until_ms": None}
    assert [await status(http) for _ in range(3)] == [503, 503, 200]


async def test_an_outage_can_be_ended(http: httpx.AsyncClient) -> None:
    await http.post("/_sim/behaviour", json={"model": "*", "as": "fail-529", "seconds": 60})
    assert await status(http) == 529
    assert len((await http.get("/_sim/behaviour")).json()["behaviours"]) == 1
    await http.delete("/_sim/behaviour")
    assert await status(http) == 200


@pytest.mark.parametrize(
    "wrong", [{"model": "echo"}, {"model": "echo", "as": "fail-nothing"}, {"model": "echo", "as": "echo;x=1"}, {"a": 1}]
)
async def test_a_wrong_outage_is_refused(http: httpx.AsyncClient, wrong: dict[str, object]) -> None:
    assert (await http.post("/_sim/behaviour", json=wrong)).status_code == 400


@pytest.mark.parametrize(
    ("key", "code", "retry"), [("bad-1234", 401, None), ("broke-1234", 429, None), ("limited-1234", 429, "1")]
)
async def test_a_key_can_be_at_fault(http: httpx.AsyncClient, key: str, code: int, retry: str | None) -> None:
    for headers in ({"authorization": f"Bearer {key}"}, {"authorization": "", "x-api-key": key}):
        answer = await http.post(CHAT, json=BODY, headers=headers)
        assert (answer.status_code, answer.headers.get("retry-after")) == (code, retry)


async def test_any_other_key_or_none_will_do(http: httpx.AsyncClient) -> None:
    assert await status(http, authorization="Bearer anything") == 200
    assert await status(http, authorization="") == 200


async def test_only_the_end_of_a_key_is_kept(simulator: Simulator, http: httpx.AsyncClient) -> None:
    await status(http, authorization="Bearer sk-secret-abcd")
    told = (await http.get("/_sim/tally")).text
    assert "secret" not in told
    assert simulator.tally.entries()[0].credential == "abcd"


@pytest.mark.parametrize("asked", ["7", "date+30", "soon"])
async def test_retry_after_is_seconds_a_date_or_garbage(http: httpx.AsyncClient, asked: str) -> None:
    answer = await http.post(CHAT, json=BODY, headers={"x-sim": f"fail=429,retry_after={asked}"})
    told = answer.headers["retry-after"]
    assert parsedate_to_datetime(told) if asked.startswith("date") else told == asked
    assert answer.headers.get("x-ratelimit-reset-requests") == ("7s" if asked == "7" else None)


async def test_a_window_can_be_enforced(http: httpx.AsyncClient) -> None:
    answer = await http.post(CHAT, json=BODY, headers={"x-sim": "window=1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_the_tally_is_filtered_reset_and_keeps_the_gateways_headers(http: httpx.AsyncClient) -> None:
    await status(http, **{"tollway-request-id": "rq_1", "idempotency-key": "k"})
    await http.post(CHAT, json={**BODY, "model": "think"})
    told = (await http.get("/_sim/tally", params={"model": "ECHO"})).json()
    assert [row["headers"] for row in told["requests"]] == [{"tollway-request-id": "rq_1", "idempotency-key": "k"}]
    assert told["totals"]["requests"] == 1
    await http.delete("/_sim/tally")
    assert (await http.get("/_sim/tally")).json()["totals"]["requests"] == 0


async def test_open_connections_and_what_they_do_are_listed(simulator: Simulator, http: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(http.post(CHAT, json={**BODY, "model": "echo;ttft=60000"}))
    while simulator.desk.room.open_count() == 0:  # noqa: ASYNC110 - the simulator has no event to wait for
        await asyncio.sleep(0.005)
    lines = (await http.get("/_sim/connections")).json()["connections"]
    assert [line["entry"] and line["entry"]["model"] for line in lines] == ["echo", None]
    assert (await http.get("/_sim/health")).json() == {"status": "ok", "connections": 2, "open": 1}
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_unknown_addresses_are_404(http: httpx.AsyncClient) -> None:
    for path in ("/", "/v1/nothing", "/_sim/nothing", "/v1beta/models/echo:sing"):
        assert (await http.post(path, json=BODY)).status_code == 404


async def test_pipelined_requests_are_answered_in_order(simulator: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    for text in ("first", "second", "third"):
        body = json.dumps({**BODY, "model": "echo;ttft=1", "messages": [{"role": "user", "content": text}]}).encode()
        writer.write(b"POST %b HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (CHAT.encode(), len(body), body))
    for text in (b"first", b"second", b"third"):
        assert text in await reader.readuntil(b'"refusal"')
    writer.close()
    await writer.wait_closed()


async def test_what_is_not_http_is_refused(simulator: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


async def test_a_body_may_be_announced_first(simulator: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    body = json.dumps(BODY).encode()
    head = b"POST %b HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % (CHAT.encode(), len(body)))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert b"hello" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_stopping_ends_what_is_open(simulator: Simulator, http: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(http.post(CHAT, json={**BODY, "model": "fail-timeout"}))
    while simulator.desk.room.open_count() == 0:  # noqa: ASYNC110 - the simulator has no event to wait for
        await asyncio.sleep(0.005)
    await simulator.stop()
    with pytest.raises(httpx.TransportError):
        await waiting
    assert simulator.tally.totals().outcomes == {"cancelled_by_client": 1}
