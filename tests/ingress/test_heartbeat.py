"""Comments while a stream is awaited: they keep the caller, and are never taken for success."""

import asyncio
import json

import httpx
import pytest

from tests.ingress.conftest import KEY, Neighbours, Street
from tests.ingress.test_life import BODY, CHAT, COMPLETE, SSE, STREAM, until
from tollway.ingress.tuning import Tuning
from tollway.wire.refusals import refuse
from tollway.wire.work import End, Head, Piece, Work

QUICK = Tuning(heartbeat_s=0.2)
MESSAGES = {"model": "simulator:echo", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
FAILED = End("failed_before_content", 1, refusal=refuse("all_providers_failed"))
PAGE = b'{"error":{"message":"too many","type":"requests","code":"rate_limit_exceeded"}}'


async def asked(street: Street, body: object, *pieces: Piece, path: str = CHAT, beats: int = 2) -> httpx.Response:
    """The answer to a stream whose first piece comes after so many comments."""
    street.gate.tuning = QUICK
    asking = asyncio.create_task(street.client.post(path, json=body))
    await until(lambda: bool(street.neighbours.works))
    await asyncio.sleep(0.25 * beats + 0.1)
    street.neighbours.send(street.neighbours.works[0], *pieces)
    return await asking


async def test_a_stream_that_is_late_comes_whole_after_its_comments(street: Street) -> None:
    pieces = (Piece(0, "adapter-1", b"data: 1\n\n", SSE), Piece(1, data=b"data: [DONE]\n\n", end=COMPLETE))
    response = await asked(street, STREAM, *pieces)
    assert response.status_code == 200
    assert response.text.replace(": waiting\n\n", "") == "data: 1\n\ndata: [DONE]\n\n"
    assert response.text.count(": waiting\n\n") >= 2
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["tollway-request-id"] == street.neighbours.holds[0].hold_id
    assert "tollway-attempts" not in response.headers


async def test_a_failure_after_a_comment_is_an_error_inside_the_stream(street: Street) -> None:
    response = await asked(street, STREAM, Piece(0, "adapter-1", end=FAILED))
    assert response.status_code == 200
    [event] = [line for line in response.text.splitlines() if line.startswith("data: ")]
    assert json.loads(event[6:])["error"]["code"] == "all_providers_failed"
    assert "[DONE]" not in response.text


@pytest.mark.parametrize(
    ("path", "body", "mark"),
    [
        (CHAT, STREAM, 'data: {"error"'),
        ("/v1/messages", {**MESSAGES, "stream": True}, "event: error"),
        ("/v1/responses", {"model": "simulator:echo", "input": "hi", "stream": True}, "event: error"),
    ],
)
async def test_a_providers_own_error_after_a_comment_is_said_in_the_dialect(
    street: Street, path: str, body: object, mark: str
) -> None:
    head = Head(429, "application/json", 1, "simulator:echo")
    end = End("failed_before_content", 1)
    response = await asked(street, body, Piece(0, "adapter-1", PAGE, head, end), path=path)
    assert response.status_code == 200
    assert mark in response.text
    assert "too many" in response.text
    assert not [word for word in ("[DONE]", "message_stop", "response.completed") if word in response.text]


async def test_a_lost_adapter_after_a_comment_is_said_inside_the_stream(street: Street) -> None:
    street.gate.tuning = QUICK
    street.neighbours.script = lambda neighbours, work: neighbours.send(work, Piece(0, "adapter-1"))
    response = await street.client.post(CHAT, json=STREAM)
    assert response.status_code == 200
    assert "gateway_unavailable" in response.text
    assert "[DONE]" not in response.text


async def test_a_quick_stream_and_a_json_answer_have_no_comment(street: Street) -> None:
    response = await asked(street, BODY, Piece(0, "adapter-1", b"{}", Head(200, "application/json", 1), COMPLETE))
    assert (response.text, response.headers["tollway-attempts"]) == ("{}", "1")


async def test_a_stream_that_pauses_in_the_middle_is_kept_too(street: Street) -> None:
    def pausing(neighbours: Neighbours, work: Work) -> None:
        neighbours.send(work, Piece(0, "adapter-1", b"data: 1\n\n", SSE))
        last = Piece(1, data=b"data: [DONE]\n\n", end=COMPLETE)
        asyncio.get_running_loop().call_later(0.6, neighbours.send, work, last)

    street.gate.tuning = QUICK
    street.neighbours.script = pausing
    response = await street.client.post(CHAT, json=STREAM)
    parts = response.text.split(": waiting\n\n")
    assert (parts[0], parts[-1]) == ("data: 1\n\n", "data: [DONE]\n\n")
    assert len(parts) > 1
    assert response.headers["tollway-attempts"] == "1"


async def test_comments_are_no_part_of_a_kept_answer_and_are_not_counted(street: Street) -> None:
    pieces = (Piece(0, "adapter-1", b"data: 1\n\n", SSE), Piece(1, data=b"data: [DONE]\n\n", end=COMPLETE))
    street.client.headers["idempotency-key"] = "once"
    await asked(street, STREAM, *pieces)
    again = await street.client.post(CHAT, json=STREAM)
    assert again.headers["tollway-replayed"] == "true"
    assert again.text == "data: 1\n\ndata: [DONE]\n\n"
    assert street.gate.told[0].exchange.bytes_out == len(again.text)


async def test_a_caller_that_hangs_up_between_comments_is_noticed(street: Street) -> None:
    street.gate.tuning = QUICK
    street.neighbours.script = lambda neighbours, work: neighbours.send(work, Piece(0, "adapter-1"))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{street.port}", timeout=20) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        async with client.stream("POST", CHAT, json=STREAM) as response:
            async for chunk in response.aiter_raw():
                assert chunk == b": waiting\n\n"
                break
    await until(lambda: [cancel.outcome for cancel in street.neighbours.cancels] == ["client_aborted"])


async def test_work_that_no_adapter_has_room_for_is_given_back(street: Street) -> None:
    def full(neighbours: Neighbours, work: Work) -> None:
        refusal = refuse("gateway_unavailable", "no room", retry_after_s=1)
        neighbours.send(work, Piece(0, "adapter-1", end=End("gateway_failed", 0, refusal=refusal, is_shed=True)))

    street.neighbours.script = full
    response = await street.client.post(CHAT, json=BODY)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    await until(lambda: [void.hold_id for void in street.neighbours.voids] == [street.neighbours.holds[0].hold_id])
    assert street.neighbours.witnesses == []
