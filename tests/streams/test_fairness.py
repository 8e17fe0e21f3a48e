"""A house with room for forty: slow calls of one account, and what is left to another."""

import asyncio
import json

import httpx
import pytest

from tests.faults.house import Wallet
from tests.streams.conftest import REPORT, ROOM
from tests.streams.gateway import CHAT, Gateway, chat, milliseconds, told, until

SLOW = chat("simulator:slow;chunks=60", stream=True)


async def opened(client: httpx.AsyncClient, count: int) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """So many slow streams at once: those that run, and those that were turned away."""
    asked = [client.send(client.build_request("POST", CHAT, json=SLOW), stream=True) for _ in range(count)]
    answers = await asyncio.gather(*asked)
    turned = [answer for answer in answers if answer.status_code != 200]
    for answer in turned:
        await answer.aread()
    return [answer for answer in answers if answer.status_code == 200], turned


def codes(answers: list[httpx.Response]) -> set[tuple[int, str, str]]:
    return {
        (answer.status_code, json.loads(answer.content)["error"]["code"], answer.headers["retry-after"])
        for answer in answers
    }


@pytest.mark.timeout(120)
async def test_an_account_with_slow_calls_leaves_room_to_the_others(small: Gateway) -> None:
    greedy, modest, late = (small.wallet(cents=10_000) for _ in range(3))
    async with small.http(greedy) as first, small.http(modest) as second, small.http(late) as third:
        alone = await milliseconds(second, 20)
        running, turned = await opened(first, 2 * ROOM)
        assert len(running) == ROOM // 2
        assert codes(turned) == {(429, "rate_limited", "1")}
        crowded = await milliseconds(second, 20)
        REPORT.append(f"beside {len(running)} slow streams of one account another's requests: {told(alone)} alone,"
                      f" {told(crowded)} now")  # fmt: skip
        more, refused = await opened(second, ROOM)
        assert 0 < len(more) < ROOM
        assert codes(refused) == {(429, "rate_limited", "1")}
        await milliseconds(third, 5)
        for answer in (*running, *more):
            await answer.aclose()
    await emptied(small)
    assert small.metric("ingress", "tollway_shed_total") >= len(turned) + len(refused)
    check_books(small, greedy, modest)


async def emptied(gateway: Gateway) -> None:
    """Everybody hung up, so everything is free again, counted a second later."""
    await until(lambda: not gateway.metric("ingress", "tollway_requests_in_flight"), within_s=20)
    await asyncio.sleep(1.0)


def check_books(gateway: Gateway, *wallets: Wallet) -> None:
    """What was turned away cost nothing, and nothing is held."""
    for wallet in wallets:
        assert gateway.balance(wallet)["heldCents"] == 0


@pytest.mark.timeout(120)
async def test_a_full_house_turns_everybody_away_at_once_and_opens_again(small: Gateway) -> None:
    wallets = [small.wallet(cents=10_000) for _ in range(8)]
    clients = [small.http(wallet) for wallet in wallets]
    try:
        opens = await asyncio.gather(*(opened(client, ROOM) for client in clients))
        running = [answer for started, _ in opens for answer in started]
        turned = [answer for _, refused in opens for answer in refused]
        assert len(running) <= ROOM
        assert {code for _, code, _ in codes(turned)} <= {"rate_limited", "gateway_unavailable"}
        for answer in running:
            await answer.aclose()
        await emptied(small)
        await milliseconds(clients[0], 3)
    finally:
        for client in clients:
            await client.aclose()
