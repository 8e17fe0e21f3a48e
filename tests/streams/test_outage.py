"""A provider is out, and comes back: what callers notice, what the provider sees, how long its return takes."""

import asyncio
import time
from dataclasses import dataclass

import pytest

from tests.faults.house import Wallet
from tests.streams.conftest import REPORT
from tests.streams.gateway import CHAT, Gateway, chat, until

PER_SECOND = 15
SHORT_S, LONG_S = 5, 60
TOLD_WITHIN_S = 1.5
"""Adapters tell successes once a second, so the others hear of the one that probed after that."""
PRIMARY, FALLBACK = "simulator:think", "simulator:echo"


@dataclass(frozen=True)
class Served:
    """One request: when, by which model, after how many attempts."""

    at_s: float
    status: int
    model: str
    attempts: int


async def load(gateway: Gateway, wallet: Wallet, served: list[Served], stop: asyncio.Event) -> None:
    """Requests at a steady rate, whatever becomes of them."""
    async with gateway.http(wallet) as client, asyncio.TaskGroup() as group:

        async def one() -> None:
            answer = await client.post(CHAT, json=chat(PRIMARY, models=[FALLBACK]))
            model, attempts = answer.headers.get("tollway-model", ""), int(answer.headers["tollway-attempts"])
            served.append(Served(time.monotonic(), answer.status_code, model, attempts))

        while not stop.is_set():
            group.create_task(one())
            await asyncio.sleep(1 / PER_SECOND)


async def until_back(served: list[Served], since_s: float) -> float:
    """How long after `since_s` the first request is served by the primary again, and stays so."""
    await until(lambda: any(it.at_s > since_s and it.model == PRIMARY for it in served))
    return next(it.at_s for it in served if it.at_s > since_s and it.model == PRIMARY) - since_s


@pytest.mark.timeout(240)
async def test_an_outage_costs_no_request_and_a_handful_of_calls(
    gateway: Gateway, wallet: Wallet, request: pytest.FixtureRequest
) -> None:
    outage_s = LONG_S if request.config.getoption("--faults") == "long" else SHORT_S
    served: list[Served] = []
    stop = asyncio.Event()
    loading = asyncio.create_task(load(gateway, wallet, served, stop))
    await asyncio.sleep(1.5)
    await asyncio.to_thread(
        gateway.simulator, "POST", "behaviour", {"model": "think", "as": "fail-503", "seconds": outage_s}
    )
    begun_s = time.monotonic()
    await asyncio.sleep(outage_s)
    ended_s = time.monotonic()
    back_s = await until_back(served, ended_s)
    await asyncio.sleep(TOLD_WITHIN_S + 1.0)
    stop.set()
    await loading

    during = [it for it in served if begun_s < it.at_s < ended_s]
    after = [it for it in served if it.at_s > ended_s + back_s + TOLD_WITHIN_S]
    calls = sum(it.attempts > 1 for it in during)
    REPORT.append(
        f"outage of {outage_s} s at {PER_SECOND} requests/s: {len(served)} requests, all served; {calls} calls reached"
        f" the provider in {len(during)} requests while it was out; it served again {back_s:.1f} s after it was back"
    )
    assert {it.status for it in served} == {200}
    assert calls <= 5 + PER_SECOND + outage_s
    assert after
    assert {it.model for it in after} == {PRIMARY}
    await asyncio.to_thread(gateway.simulator, "DELETE", "behaviour")
