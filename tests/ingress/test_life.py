"""The life of a request on a real socket: every way in, every way out."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

from tests.ingress.conftest import KEY, Neighbours, Street
from tollway.ingress.tuning import Tuning
from tollway.wire.access import KeyLimits, Principal, Settings
from tollway.wire.credit import OpenHold
from tollway.wire.refusals import refuse
from tollway.wire.work import BODY_INLINE_BYTES_MAX, End, Head, Piece, Work

CHAT = "/v1/chat/completions"
BODY = {"model": "simulator:echo", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**BODY, "stream": True}
COMPLETE = End("complete", 1, "simulator:echo", cost_nusd=1_500)
SSE = Head(200, "text/event-stream; charset=utf-8", 1, "simulator:echo")


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def answer(neighbours: Neighbours, work: Work) -> None:
    head = Head(200, "application/json", 1, "simulator:echo")
    neighbours.send(work, Piece(0, "adapter-1", b'{"id":"x"}', head, COMPLETE))


def stream(neighbours: Neighbours, work: Work) -> None:
    last = Piece(2, data=b"data: [DONE]\n\n", end=COMPLETE)
    neighbours.send(work, Piece(0, "adapter-1", b"data: 1\n\n", SSE), Piece(1, data=b"data: 2\n\n"), last)


async def test_a_json_answer_comes_with_its_receipt(street: Street) -> None:
    street.neighbours.script = answer
    response = await street.client.post(CHAT, json=BODY)
    assert (response.status_code, response.json()) == (200, {"id": "x"})
    receipt = {name: response.headers[name] for name in ("tollway-attempts", "tollway-model", "tollway-cost")}
    assert receipt == {"tollway-attempts": "1", "tollway-model": "simulator:echo", "tollway-cost": "0.0000015"}
    assert response.headers["tollway-request-id"] == street.neighbours.holds[0].hold_id
    assert street.neighbours.works[0].request_id == street.neighbours.holds[0].hold_id


async def test_a_stream_comes_piece_by_piece_and_ends_as_the_adapter_ended_it(street: Street) -> None:
    street.neighbours.script = stream
    response = await street.client.post(CHAT, json=STREAM)
    assert response.text == "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["tollway-model"] == "simulator:echo"


async def test_a_key_and_a_plan_are_asked_for_once_and_remembered(street: Street) -> None:
    street.neighbours.script = answer
    for _ in range(3):
        assert (await street.client.post(CHAT, json=BODY)).status_code == 200
    assert street.neighbours.checks == 1


async def test_an_answer_in_many_pieces_is_sent_when_it_is_whole(street: Street) -> None:
    def parts(neighbours: Neighbours, work: Work) -> None:
        head = Head(200, "application/json", 1, "simulator:echo")
        neighbours.send(work, Piece(0, "adapter-1", b'{"a":', head), Piece(1, data=b"1}"), Piece(2, end=COMPLETE))

    street.neighbours.script = parts
    response = await street.client.post(CHAT, json=BODY)
    assert response.json() == {"a": 1}
    assert response.headers["tollway-cost"] == "0.0000015"


async def test_garbage_for_a_key_costs_no_question_and_no_hold(street: Street) -> None:
    bad_sum = KEY[:-1] + ("0" if KEY[-1] != "0" else "1")
    cases = {"Basic x": "no_api_key", "Bearer sk-1": "invalid_access_key", f"Bearer {bad_sum}": "invalid_access_key"}
    for sent, code in cases.items():
        response = await street.client.post(CHAT, json=BODY, headers={"authorization": sent})
        assert (response.status_code, response.json()["error"]["code"]) == (401, code)
    assert (street.neighbours.checks, street.neighbours.holds) == (0, [])


async def test_bad_bodies_are_refused_in_the_callers_dialect_and_the_next_request_is_served(street: Street) -> None:
    street.neighbours.script = answer
    for body in (b"not json", b"[]", b'{"messages":[]}', b'{"model":1,"messages":[]}', b"\xff\xfe"):
        response = await street.client.post(CHAT, content=body, headers={"content-type": "application/json"})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request_body")
        assert response.headers["tollway-request-id"].startswith("rq_")
    assert street.neighbours.holds == []
    assert (await street.client.post(CHAT, json=BODY)).status_code == 200


async def test_the_wrong_content_type_and_a_compressed_body_are_refused(street: Street) -> None:
    for headers in ({"content-type": "text/plain"}, {"content-type": "application/json", "content-encoding": "gzip"}):
        response = await street.client.post(CHAT, content=b"{}", headers=headers)
        assert response.json()["error"]["code"] == "invalid_request_body"


async def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(street: Street) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", street.port)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: 99999999\r\n\r\n"
    writer.write(head.encode())
    status = await reader.readline()
    assert b"413" in status
    writer.close()


async def test_want_of_credit_is_said_with_what_it_would_take(street: Street) -> None:
    street.neighbours.hold = refuse("insufficient_credits", details={"availableNusd": "5"})
    response = await street.client.post(CHAT, json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "insufficient_credits")
    assert "$0.000000005" in response.json()["error"]["message"]
    assert street.neighbours.works == []


async def test_a_tight_balance_is_asked_again_with_an_exact_count_under_a_new_id(street: Street) -> None:
    street.neighbours.script = answer
    long = {**BODY, "messages": [{"role": "user", "content": "word " * 2_000}]}
    first = refuse("insufficient_credits", details={"availableNusd": "5"})
    street.neighbours.hold = first

    def only_the_first_is_refused() -> None:
        street.neighbours.hold = None

    holds = street.neighbours.holds
    original = holds.append

    def append(hold: OpenHold) -> None:
        original(hold)
        if len(holds) == 2:
            only_the_first_is_refused()

    street.neighbours.holds = Appending(append)  # type: ignore[assignment]
    response = await street.client.post(CHAT, json=long)
    assert response.status_code == 200
    amounts = [hold.amount_nusd for hold in holds]
    assert len(holds) == 2
    assert amounts[1] < amounts[0]
    assert holds[0].hold_id != holds[1].hold_id == response.headers["tollway-request-id"]


class Appending:
    def __init__(self, append: Callable[[OpenHold], None]) -> None:
        self.append = append


async def test_a_refusal_of_the_router_reaches_the_caller(street: Street) -> None:
    street.neighbours.plan = refuse("model_unknown", "There is no model 'gpt-5x'; did you mean gpt-5?")
    response = await street.client.post(CHAT, json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "model_unknown")


async def test_without_a_living_adapter_the_hold_is_given_back(street: Street) -> None:
    street.gate.room._heard.clear()
    response = await street.client.post(CHAT, json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "gateway_unavailable")
    assert response.headers["retry-after"] == "1"
    await until(lambda: len(street.neighbours.voids) == 1)


async def test_a_hold_that_the_ledger_does_not_answer_is_given_back_in_case_it_was_opened(street: Street) -> None:
    street.neighbours.hold = refuse("gateway_unavailable", details={"cause": "timeout"})
    response = await street.client.post(CHAT, json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "ledger_unavailable")
    await until(lambda: len(street.neighbours.voids) == 1)
    assert street.neighbours.voids[0].hold_id == street.neighbours.holds[0].hold_id


async def test_work_without_a_sign_is_given_to_another_and_the_first_is_superseded(street: Street) -> None:
    def only_the_second(neighbours: Neighbours, work: Work) -> None:
        if len(neighbours.works) == 2:
            neighbours.send(neighbours.works[0], Piece(0, "adapter-1"))  # the first wakes up after all
            answer(neighbours, work)

    street.neighbours.script = only_the_second
    response = await street.client.post(CHAT, json=BODY)
    assert response.status_code == 200
    first, second = street.neighbours.works
    assert (first.request_id, first.dispatch_id != second.dispatch_id) == (second.request_id, True)
    await until(
        lambda: [(c.dispatch_id, c.is_superseded) for c in street.neighbours.cancels] == [(first.dispatch_id, True)]
    )


async def test_an_adapter_that_falls_silent_mid_stream_ends_it_with_an_error_and_no_success(street: Street) -> None:
    def dies(neighbours: Neighbours, work: Work) -> None:
        neighbours.send(work, Piece(0, "adapter-1", b"data: 1\n\n", SSE))

    street.neighbours.script = dies
    response = await street.client.post(CHAT, json=STREAM)
    first, error, *rest = response.text.strip().split("\n\n")
    assert first == "data: 1"
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "gateway_unavailable"
    assert "[DONE]" not in response.text
    assert rest == []
    await until(lambda: [w.outcome for w in street.neighbours.witnesses] == ["gateway_failed"])


async def test_a_lost_piece_ends_the_stream_visibly(street: Street) -> None:
    def loses(neighbours: Neighbours, work: Work) -> None:
        neighbours.send(work, Piece(0, "adapter-1", b"data: 1\n\n", SSE), Piece(2, data=b"data: 3\n\n"))

    street.neighbours.script = loses
    response = await street.client.post(CHAT, json=STREAM)
    assert "data: 3" not in response.text
    assert "gateway_unavailable" in response.text


async def test_a_caller_that_hangs_up_mid_stream_has_its_provider_call_cancelled(street: Street) -> None:
    def begins(neighbours: Neighbours, work: Work) -> None:
        neighbours.send(work, Piece(0, "adapter-1", b"data: 1\n\n", SSE))

    street.neighbours.script = begins
    async with street.client.stream("POST", CHAT, json=STREAM) as response:
        await anext(response.aiter_raw())
    await until(lambda: [c.outcome for c in street.neighbours.cancels] == ["client_aborted"])
    await until(lambda: [w.outcome for w in street.neighbours.witnesses] == ["client_aborted"])


async def test_a_caller_that_hangs_up_while_a_json_answer_is_awaited_is_noticed_too(street: Street) -> None:
    def signs(neighbours: Neighbours, work: Work) -> None:
        neighbours.send(work, Piece(0, "adapter-1"))

    street.neighbours.script = signs
    _, writer = await asyncio.open_connection("127.0.0.1", street.port)
    body = json.dumps(BODY)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    await until(lambda: len(street.neighbours.works) == 1)
    writer.close()
    await until(lambda: [c.outcome for c in street.neighbours.cancels] == ["client_aborted"])


async def test_an_adapter_that_misses_the_deadline_is_not_waited_for(street: Street) -> None:
    def signs(neighbours: Neighbours, work: Work) -> None:
        neighbours.send(work, Piece(0, "adapter-1"))

    street.neighbours.principal = type(street.neighbours.principal)(
        "ac_1", "aigk_1", 2, settings=Settings(total_timeout_s=0.2)
    )
    street.neighbours.script = signs
    response = await street.client.post(CHAT, json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "total_timeout")


async def test_a_large_body_is_not_sent_inline(street: Street) -> None:
    street.neighbours.script = answer
    large = {**BODY, "messages": [{"role": "user", "content": "x" * (BODY_INLINE_BYTES_MAX + 1)}]}
    assert (await street.client.post(CHAT, json=large)).status_code == 200
    work = street.neighbours.works[0]
    assert (work.body, work.body_token) == (b"", work.dispatch_id)
    assert work.body_bytes > BODY_INLINE_BYTES_MAX
    assert street.gate.bodies == {}  # let go of when the request is over


async def test_models_are_listed_with_prices_and_found_by_id(street: Street) -> None:
    listed = (await street.client.get("/v1/models")).json()
    assert listed["data"][0]["pricing"]["input"] == "1"
    assert (await street.client.get("/v1/models/simulator:echo")).json()["id"] == "simulator:echo"
    missing = await street.client.get("/v1/models/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


async def test_models_have_the_fields_that_anthropic_s_clients_read(street: Street) -> None:
    listed = (await street.client.get("/v1/models")).json()
    first = listed["data"][0]
    assert (first["type"], first["display_name"]) == ("model", first["name"])
    assert first["created_at"].endswith("+00:00")
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, first["id"], listed["data"][-1]["id"])


async def test_addresses_and_methods_that_do_not_exist_are_said_so_in_the_dialect(street: Street) -> None:
    wrong_method = await street.client.get(CHAT)
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST, OPTIONS")
    nowhere = await street.client.post("/v1/messages/nowhere", json={})
    assert (nowhere.status_code, nowhere.json()["type"]) == (404, "error")
    theirs = await street.client.get("/v1/files", headers={"anthropic-version": "2023-06-01"})
    assert (theirs.status_code, theirs.json()["type"]) == (404, "error")
    ours = await street.client.post(CHAT, content=b"{", headers={"anthropic-version": "2023-06-01"})
    assert (ours.status_code, "type" in ours.json()) == (400, False)
    assert (await street.client.options(CHAT)).status_code == 204


async def test_tokens_are_counted_for_coding_agents(street: Street) -> None:
    body = {"model": "claude", "messages": [{"role": "user", "content": "hello world"}]}
    counted = await street.client.post("/v1/messages/count_tokens", json=body)
    assert 2 <= counted.json()["input_tokens"] <= 40


COUNT = "/v1/messages/count_tokens"
COUNTED = {"model": "claude", "messages": [{"role": "user", "content": "hello world"}]}


async def test_counting_is_within_the_keys_scope_and_limits(street: Street) -> None:
    street.neighbours.listed = refuse("model_not_allowed")
    outside = await street.client.post(COUNT, json=COUNTED)
    assert (outside.status_code, outside.json()["type"]) == (422, "error")
    street.neighbours.listed = refuse("no_provider_key")
    assert (await street.client.post(COUNT, json=COUNTED)).status_code == 200
    street.gate.principals.clear()
    street.neighbours.principal = Principal("ac_1", "aigk_2", 2, limits=KeyLimits(requests_per_minute=1))
    assert [(await street.client.post(COUNT, json=COUNTED)).status_code for _ in range(2)] == [200, 429]


async def test_a_key_bound_to_addresses_is_dead_from_others_on_every_route(street: Street) -> None:
    street.neighbours.principal = Principal("ac_1", "aigk_1", 1, limits=KeyLimits(addresses=("10.0.0.0/8",)))
    forged = {"x-forwarded-for": "10.0.0.1", "forwarded": "for=10.0.0.1"}
    answers = [
        await street.client.post(CHAT, json=BODY, headers=forged),
        await street.client.post(COUNT, json=COUNTED, headers=forged),
        await street.client.get("/v1/models", headers=forged),
        await street.client.get("/v1/models/simulator:echo", headers=forged),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4


IDEMPOTENT = {"idempotency-key": "k1"}


async def test_the_same_idempotency_key_and_body_is_one_call_and_one_hold(street: Street) -> None:
    street.neighbours.script = answer
    first = await street.client.post(CHAT, json=BODY, headers=IDEMPOTENT)
    again = await street.client.post(CHAT, json=BODY, headers=IDEMPOTENT)
    assert first.content == again.content
    assert first.headers["tollway-request-id"] == again.headers["tollway-request-id"]
    assert "tollway-replayed" not in first.headers
    assert again.headers["tollway-replayed"] == "true"
    assert (len(street.neighbours.works), len(street.neighbours.holds)) == (1, 1)


async def test_the_same_idempotency_key_with_another_body_is_a_conflict(street: Street) -> None:
    street.neighbours.script = answer
    await street.client.post(CHAT, json=BODY, headers=IDEMPOTENT)
    other = await street.client.post(CHAT, json={**BODY, "temperature": 1}, headers=IDEMPOTENT)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")


async def test_a_second_caller_joins_a_stream_that_runs(street: Street) -> None:
    def begins(neighbours: Neighbours, work: Work) -> None:
        neighbours.send(work, Piece(0, "adapter-1", b"data: 1\n\n", SSE))

    street.neighbours.script = begins
    async with street.client.stream("POST", CHAT, json=STREAM, headers=IDEMPOTENT) as first:
        chunks = first.aiter_raw()
        assert await anext(chunks) == b"data: 1\n\n"
        joining = asyncio.ensure_future(street.client.post(CHAT, json=STREAM, headers=IDEMPOTENT))
        record = next(iter(street.gate.replays._records.values()))
        await until(lambda: record.followers == 1)
        street.neighbours.send(street.neighbours.works[0], Piece(1, data=b"data: [DONE]\n\n", end=COMPLETE))
        rest = b"".join([chunk async for chunk in chunks])
    assert rest == b"data: [DONE]\n\n"
    assert (await joining).text == "data: 1\n\ndata: [DONE]\n\n"
    assert len(street.neighbours.works) == 1


async def test_the_same_idempotency_key_at_another_address_is_a_conflict(street: Street) -> None:
    street.neighbours.script = answer
    body = {**BODY, "max_tokens": 9}
    await street.client.post(CHAT, json=body, headers=IDEMPOTENT)
    other = await street.client.post("/v1/messages", json=body, headers=IDEMPOTENT)
    assert (other.status_code, other.json()["type"]) == (409, "error")


def begins(neighbours: Neighbours, work: Work) -> None:
    neighbours.send(work, Piece(0, "adapter-1", b"data: 1\n\n", SSE))


async def test_who_follows_is_told_to_wait_as_well(street: Street) -> None:
    street.gate.tuning = Tuning(heartbeat_s=0.2)
    leading = asyncio.ensure_future(street.client.post(CHAT, json=STREAM, headers=IDEMPOTENT))
    await until(lambda: bool(street.neighbours.works))
    joining = asyncio.ensure_future(street.client.post(CHAT, json=STREAM, headers=IDEMPOTENT))
    await asyncio.sleep(0.7)
    pieces = (Piece(0, "adapter-1", b"data: 1\n\n", SSE), Piece(1, data=b"data: [DONE]\n\n", end=COMPLETE))
    street.neighbours.send(street.neighbours.works[0], *pieces)
    for response in (await leading, await joining):
        assert response.text.startswith(": waiting\n\n")
        assert response.text.replace(": waiting\n\n", "") == "data: 1\n\ndata: [DONE]\n\n"


async def test_a_failure_after_who_follows_was_told_to_wait_is_said_in_band(street: Street) -> None:
    street.gate.tuning = Tuning(heartbeat_s=0.2)
    leading = asyncio.ensure_future(street.client.post(CHAT, json=STREAM, headers=IDEMPOTENT))
    await until(lambda: bool(street.neighbours.works))
    joining = asyncio.ensure_future(street.client.post(CHAT, json=STREAM, headers=IDEMPOTENT))
    await asyncio.sleep(0.7)
    end = End("failed_before_content", 1, refusal=refuse("all_providers_failed"))
    street.neighbours.send(street.neighbours.works[0], Piece(0, "adapter-1", end=end))
    for response in (await leading, await joining):
        assert "all_providers_failed" in response.text
        assert "[DONE]" not in response.text


async def test_an_answer_that_breaks_off_is_never_whole_for_who_follows(street: Street) -> None:
    street.neighbours.script = begins
    leading = asyncio.ensure_future(street.client.post(CHAT, json=STREAM, headers=IDEMPOTENT))
    await until(lambda: bool(street.neighbours.works))
    joining = asyncio.ensure_future(street.client.post(CHAT, json=STREAM, headers=IDEMPOTENT))
    record = next(iter(street.gate.replays._records.values()))
    await until(lambda: record.followers == 1)
    record.end(is_whole=False)  # as when the one that leads is cut off for not reading
    response = await joining
    assert response.text.startswith("data: 1\n\n")
    assert "gateway_unavailable" in response.text
    assert "[DONE]" not in response.text
    street.neighbours.send(street.neighbours.works[0], Piece(1, data=b"data: [DONE]\n\n", end=COMPLETE))
    await leading


async def test_an_answer_is_made_as_long_as_anybody_waits_for_it(street: Street) -> None:
    street.neighbours.script = begins
    async with AsyncExitStack() as leading, AsyncExitStack() as joining:
        chunks: list[AsyncIterator[bytes]] = []
        for caller in (leading, joining):
            stream = street.client.stream("POST", CHAT, json=STREAM, headers=IDEMPOTENT)
            chunks.append((await caller.enter_async_context(stream)).aiter_raw())
            assert await anext(chunks[-1]) == b"data: 1\n\n"
        await asyncio.sleep(0.1)
        await leading.aclose()
        await asyncio.sleep(0.3)
        assert not street.neighbours.cancels, "one of the two is still there"
    await until(lambda: [c.outcome for c in street.neighbours.cancels] == ["client_aborted"])
    assert len(street.neighbours.works) == 1


async def test_a_failure_is_not_kept_so_that_a_repeat_is_a_new_try(street: Street) -> None:
    def fails(neighbours: Neighbours, work: Work) -> None:
        end = End("failed_before_content", 1, refusal=refuse("all_providers_failed"))
        neighbours.send(work, Piece(0, "adapter-1", end=end))

    street.neighbours.script = fails
    assert (await street.client.post(CHAT, json=BODY, headers=IDEMPOTENT)).status_code == 503
    street.neighbours.script = answer
    assert (await street.client.post(CHAT, json=BODY, headers=IDEMPOTENT)).status_code == 200
