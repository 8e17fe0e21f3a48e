"""How a request would be routed, how it was, and how providers are doing: asked of the running system."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import httpx

from tests.faults.house import Wallet
from tests.streams.gateway import CHAT, Gateway, chat, until
from tollway.wire.money import nusd_of_dollars


def explained(gateway: Gateway, wallet: Wallet, body: dict[str, Any]) -> dict[str, Any]:
    """In the very bytes of the request, since bytes are what the hold bounds."""
    headers = {"authorization": f"Bearer {wallet.api_key}"}
    answer = httpx.post(f"{gateway.base_url}/api/route/explain", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_explaining_calls_nobody_and_holds_nothing(gateway: Gateway, wallet: Wallet) -> None:
    asked = len(gateway.tally())
    before = gateway.balance(wallet)
    body = chat("simulator:slow", models=["simulator:echo", "nobody:knows"], max_tokens=50)
    found = explained(gateway, wallet, body)
    assert [it["model"] for it in found["candidates"]] == ["slow", "echo"]
    assert [it["model"] for it in found["skipped"]] == ["nobody:knows"]
    assert (found["hold"]["outputTokens"], found["refusal"]) == (50, None)
    assert gateway.balance(wallet) == before
    assert len(gateway.tally()) == asked


def test_the_hold_is_the_one_that_the_request_then_takes(gateway: Gateway) -> None:
    """A balance of exactly that much is enough, and a nano-dollar less is not."""
    body = chat("simulator:echo", max_tokens=50)
    poor = gateway.wallet(cents=1)
    headers = {"authorization": f"Bearer {poor.access_key}"}
    gateway.adjust(poor.account_id, 1 - 10**7, idem="all but a nano-dollar")
    found = explained(gateway, poor, body)
    assert (found["refusal"]["code"], found["hold"]["available"]) == ("insufficient_credits", "0.000000001")
    amount_nusd = nusd_of_dollars(found["hold"]["amount"])
    gateway.adjust(poor.account_id, amount_nusd - 2, idem="a nano-dollar too little")
    refused = httpx.post(f"{gateway.base_url}{CHAT}", json=body, headers=headers, timeout=30)
    assert refused.json()["error"]["code"] == "insufficient_credits"
    gateway.adjust(poor.account_id, 1, idem="the rest")
    assert explained(gateway, poor, body)["refusal"] is None
    assert httpx.post(f"{gateway.base_url}{CHAT}", json=body, headers=headers, timeout=30).status_code == 200


def test_the_command_says_why_each_candidate_was_taken_or_left(gateway: Gateway, wallet: Wallet) -> None:
    body = chat("simulator:fail-429", models=["nobody:knows", "simulator:fail-500", "simulator:echo"])
    headers = {"authorization": f"Bearer {wallet.access_key}"}
    answer = httpx.post(f"{gateway.base_url}{CHAT}", json=body, headers=headers, timeout=30)
    assert answer.headers["tollway-attempts"] == "3"
    request_id = answer.headers["tollway-request-id"]
    lines = said(gateway, wallet, request_id)
    assert lines[0].startswith(f"{request_id}: charged 0.0")
    assert lines[1] == "order: ordered"
    assert lines[2].startswith("1. simulator:fail-429 (managed) after ")
    assert lines[2].endswith("status 429: failed, it limits the rate, so the next provider or model was tried")
    assert lines[3].endswith("status 500: failed, it failed inside, so the next provider or model was tried")
    assert lines[4].endswith("status 200: served")
    assert lines[5].startswith("-  models[0]: skipped: The model is not in the catalog")


def said(gateway: Gateway, wallet: Wallet, request_id: str) -> list[str]:
    """What `tollway usage explain` prints, once the request is settled."""
    told = {"TOLLWAY_URL": gateway.base_url, "TOLLWAY_API_KEY": wallet.api_key, "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "tollway.cli", "usage", "explain", request_id]
    gateway.request_of(wallet, request_id)
    return subprocess.run(command, capture_output=True, text=True, env=told, timeout=30, check=True).stdout.splitlines()


async def test_a_target_that_fails_shows_in_health_and_in_the_next_explanation(
    gateway: Gateway, wallet: Wallet
) -> None:
    async with gateway.http(wallet) as client:
        for _ in range(6):
            await client.post(CHAT, json=chat("simulator:fail-502", models=["simulator:echo"]))

    def failing() -> list[dict[str, Any]]:
        targets = gateway.ask("GET", "/providers/health?provider=simulator", wallet.api_key)["targets"]
        return [it for it in targets if it["model"] == "fail-502" and it["state"] != "closed"]

    await until(lambda: bool(failing()), within_s=10)
    [target] = failing()
    assert (target["keySource"], target["reason"]) == ("ngrok", "server")
    found = explained(gateway, wallet, chat("simulator:fail-502", models=["simulator:echo"]))
    assert [it["model"] for it in found["candidates"]] == ["echo", "fail-502"]
    assert found["candidates"][1]["heldBack"].endswith(":server")


async def test_one_key_is_one_call_and_one_bill_however_many_ask(gateway: Gateway) -> None:
    wallet = gateway.wallet()
    body = chat("simulator:slow;chunks=8", stream=True)
    asked = len(gateway.tally())
    async with gateway.http(wallet) as client:
        client.headers["idempotency-key"] = "once"
        answers = await asyncio.gather(*(client.post(CHAT, json=body) for _ in range(5)))
        late = await client.post(CHAT, json=body)
        other = await client.post(CHAT, json=chat("simulator:echo", "another body"))
    texts = {answer.text for answer in (*answers, late)}
    assert len(texts) == 1
    assert "data: [DONE]" in texts.pop()
    assert other.status_code == 409
    assert len(gateway.tally()) == asked + 1
    assert len(await asyncio.to_thread(gateway.usage_rows, wallet)) <= 1
