"""A thousand callers that read a byte a second: what they cost, whom they disturb, and how they end."""

import asyncio
import contextlib
import socket
import time

import pytest

from tests.faults.house import Wallet
from tests.streams.conftest import REPORT, STALL_S
from tests.streams.gateway import Gateway, chat, milliseconds, told, until
from tollway.tasks import spawn

CALLERS = 1_000
MEGABYTES_MAX = 400
LARGE = chat("simulator:echo;chunks=30;size=65000", stream=True, n=12)
"""Three quarters of a megabyte, more than lies between a provider and a caller."""
PROCESSES = ("ingress", "adapter")


async def drip(callers: list[socket.socket], begun: set[int]) -> None:
    """A byte a second from everybody."""
    while True:
        for number, caller in enumerate(callers):
            with contextlib.suppress(BlockingIOError, ConnectionError):
                begun.update({number} if caller.recv(1) else ())
        await asyncio.sleep(1)


async def until_alone(gateway: Gateway, most: dict[str, int]) -> float:
    """How long until the provider has nobody left but the adapter's resting connections; `most` memory until then."""
    begun = time.monotonic()

    def is_alone() -> bool:
        for name, megabytes in gateway.megabytes(*PROCESSES).items():
            most[name] = max(most.get(name, 0), megabytes)
        return gateway.simulator("GET", "health")["connections"] <= 10

    await until(is_alone)
    return time.monotonic() - begun


@pytest.mark.timeout(180)
async def test_a_thousand_callers_that_read_a_byte_a_second(gateway: Gateway, wallet: Wallet) -> None:
    other = gateway.wallet()
    callers: list[socket.socket] = []
    begun: set[int] = set()
    most: dict[str, int] = {}
    async with gateway.http(other) as client:
        await milliseconds(client, 30)
        before, alone = gateway.megabytes(*PROCESSES), await milliseconds(client, 50)
        dripping = spawn(drip(callers, begun), name="drip")
        for number in range(CALLERS):
            callers.append(gateway.raw(wallet, LARGE, receive_bytes=2_048))
            await asyncio.sleep(0.02 if number % 20 == 0 else 0)
        await until(lambda: len(begun) == CALLERS)
        crowded = await milliseconds(client, 50)
        ended_s = await until_alone(gateway, most)
        dripping.cancel()
    for caller in callers:
        caller.close()
    grown = {name: most[name] - before[name] for name in PROCESSES}
    REPORT.append(
        f"{CALLERS} callers at 1 byte/s: memory grew by {grown} MB; others {told(alone)} before, {told(crowded)} then;"
        f" all cut off {ended_s:.0f} s later (limit {STALL_S} s)"
    )
    assert max(grown.values()) < MEGABYTES_MAX
    await asyncio.to_thread(billed_as_abandoned, gateway, wallet)


def billed_as_abandoned(gateway: Gateway, wallet: Wallet) -> None:
    """Each of them once, for what the provider made, and nothing stays held."""
    give_up = time.monotonic() + 30
    while len(rows := gateway.usage_rows(wallet)) < CALLERS or gateway.balance(wallet)["heldCents"]:
        assert time.monotonic() < give_up, len(rows)
        time.sleep(0.3)
    assert len({row["requestId"] for row in rows}) == CALLERS
    assert all(float(row["totalCost"]) > 0 and row["outputTokens"] > 0 for row in rows)
    requests = [gateway.request_of(wallet, row["requestId"]) for row in rows[:20]]
    assert {request["attempts"][0]["reason"] for request in requests} == {"client_aborted"}
    assert gateway.metric("ingress", "tollway_connections_closed_total") >= CALLERS
