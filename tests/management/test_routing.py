"""`/route/explain` and `/providers/health`, over a real router."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest
from tests.management.conftest import Plane

from tollway import clock, settings
from tollway.bus.memory import MemoryBus
from tollway.ingress.management.routing import inference_body
from tollway.router.handlers import build
from tollway.router.room import Room
from tollway.runtime import Edge
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.plan import HealthSeen
from tollway.wire.queries import Balance
from tollway.wire.work import Beat

HELLO = {"messages": [{"role": "user", "content": "Hello!"}]}
EXPLAIN = "/route/explain"
HEALTH = "/providers/health"
DOLLAR = 10**9


@dataclass
class Routed:
    """The plane with a router behind it."""

    plane: Plane
    room: Room
    bus: MemoryBus

    def saw(self, model: str, credential_id: str, *, provider: str = "simulator", failures: int = 10) -> None:
        note = HealthSeen(provider, model, credential_id, failures=failures, error_class="server")
        self.bus.tell(subjects.HEALTH_SEEN, note)


@pytest.fixture
async def routed(plane: Plane) -> AsyncIterator[Routed]:
    told = settings.read("router", plane.house.environ)
    bus, telemetry = MemoryBus("router-1", plane.house.broker), Telemetry(told)
    room = build(Edge(msgspec.structs.replace(told, node=bus.node), bus, telemetry))
    await room.start()
    await bus.serve(room.HANDLERS, room, queue="router")
    adapter = MemoryBus("adapter-1", plane.house.broker)
    adapter.tell(
        subjects.beat("adapter", "adapter-1"),
        Beat("adapter", "adapter-1", clock.now_ms(), pool="default", managed=("simulator", "openai")),
    )
    async with asyncio.timeout(5):
        while not room.view.offers.is_known:  # noqa: ASYNC110  a beat has no answer
            await asyncio.sleep(0.005)
    plane.ledger.answers["GetBalance"] = Balance(10 * DOLLAR, 0, 0)
    yield Routed(plane, room, adapter)
    await room.stop()
    telemetry.stop()


async def explained(api: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await api.post(EXPLAIN, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def own_key(api: httpx.AsyncClient) -> str:
    body = {"providerId": "openai", "name": "ours", "value": "sk-canary-0123456789"}
    return (await api.post("/provider-keys", json=body)).json()["id"]


async def test_candidates_are_told_in_order_with_reasons_prices_and_the_hold(
    routed: Routed, api: httpx.AsyncClient
) -> None:
    key_id = await own_key(api)
    found = await explained(
        api, {"model": "openai:gpt-4o", "models": ["simulator:echo"], **HELLO, "max_tokens": 100, "surface": "chat"}
    )
    order = [(it["provider"], it["keySource"], it["providerKeyId"]) for it in found["candidates"]]
    assert order == [("openai", "user", key_id), ("openai", "ngrok", None), ("simulator", "ngrok", None)]
    assert all("not tried lately" in it["reason"] for it in found["candidates"])
    assert found["candidates"][1]["price"]["input"] == "2.5"
    assert found["refusal"] is None
    hold = found["hold"]
    assert (hold["outputTokens"], hold["outputTokensWanted"], hold["available"]) == (100, 100, "10")
    costs = [it["maxCost"] for it in found["candidates"]]
    assert hold["amount"] == max(costs, key=float) == costs[1]
    assert float(costs[0]) < float(costs[1])


async def test_nothing_is_called_held_or_written(routed: Routed, api: httpx.AsyncClient) -> None:
    heard: list[str] = []
    for subject in ("hold.>", "credit.>", "dispatch.>", "usage.>", "witness.>", "config.>", "auth.sealed"):
        listener = MemoryBus("listener", routed.plane.house.broker)
        await listener.listen(subject, [], lambda _b, _c, subject: heard.append(subject))
    await explained(api, {"model": "simulator:echo", **HELLO})
    assert {type(it).__name__ for it in routed.plane.ledger.asked} == {"GetBalance"}
    assert heard == []


async def test_what_would_be_skipped_is_told_with_its_reason(routed: Routed, api: httpx.AsyncClient) -> None:
    tools = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}
    asked = {"model": "nobody:x", "models": ["openai:text-embedding-3-small", "simulator:echo"], **HELLO, **tools}
    found = await explained(api, asked)
    assert [it["provider"] for it in found["candidates"]] == ["simulator"]
    reasons = [(it["model"], it["reason"].partition(":")[0]) for it in found["skipped"]]
    assert reasons == [("nobody:x", "model_unknown"), ("openai:text-embedding-3-small", "unsupported_parameter")]


async def test_a_target_that_is_out_is_told_last_and_why(routed: Routed, api: httpx.AsyncClient) -> None:
    routed.saw("slow", "managed:simulator")
    await until_trouble(routed)
    found = await explained(api, {"model": "simulator:slow", "models": ["simulator:echo"], **HELLO})
    assert [it["model"] for it in found["candidates"]] == ["echo", "slow"]
    assert [it["heldBack"] for it in found["candidates"]] == [None, "open:server"]
    assert found["skipped"] == []


async def until_trouble(routed: Routed) -> None:
    async with asyncio.timeout(5):
        while not routed.room.health.trouble:  # noqa: ASYNC110  a note has no answer
            await asyncio.sleep(0.005)


async def test_the_configuration_of_the_named_access_key_counts(
    routed: Routed, api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    narrow = {"name": "narrow", "access": {"providers": {"allow": ["openai"]}}}
    configuration = (await api.post("/access-key-configurations", json=narrow)).json()["id"]
    key_id = (await api.post("/access-keys", json={"accessKeyConfigurationId": configuration})).json()["id"]
    body = {"model": "simulator:echo", **HELLO}
    found = await explained(api, {**body, "accessKeyId": key_id})
    assert (found["refusal"]["code"], found["refusal"]["statusCode"]) == ("provider_not_allowed", 422)
    assert found["candidates"] == []
    assert (await explained(api, body))["refusal"] is None
    assert (await stranger.post(EXPLAIN, json={**body, "accessKeyId": key_id})).status_code == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"model": "simulator:echo"}, "invalid_request_body"),
        ({"model": "echoo", **HELLO}, "model_unknown"),
        ({"model": "openai:gpt-unpriced", **HELLO}, "model_unpriced"),
        ({"model": "groq:llama-3.3-70b-versatile", **HELLO}, "no_provider_key"),
    ],
)
async def test_a_request_that_would_be_refused_is_told_its_refusal(
    routed: Routed, api: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    found = await explained(api, body)
    assert (found["refusal"]["code"], found["hold"], found["candidates"]) == (code, None, [])


async def test_want_of_credit_is_told_with_the_candidates(routed: Routed, api: httpx.AsyncClient) -> None:
    routed.plane.ledger.answers["GetBalance"] = Balance(1_000, 0, 0)
    found = await explained(api, {"model": "simulator:echo", **HELLO})
    assert found["refusal"]["code"] == "insufficient_credits"
    assert [it["model"] for it in found["candidates"]] == ["echo"]
    assert found["hold"]["available"] == "0.000001"


async def test_an_input_over_the_accounts_limit_is_told_by_an_exact_count(
    routed: Routed, api: httpx.AsyncClient
) -> None:
    await api.patch("/gateway-config", json={"maxInputTokens": 500})
    words = {"messages": [{"role": "user", "content": "hello " * 300}]}
    assert (await explained(api, {"model": "simulator:echo", **words}))["refusal"] is None
    words["messages"][0]["content"] = "hello " * 600
    assert (await explained(api, {"model": "simulator:echo", **words}))["refusal"]["code"] == "input_too_large"


async def test_the_requests_own_strategy_counts_as_when_calling(routed: Routed, api: httpx.AsyncClient) -> None:
    body = {"model": "openai:gpt-4o", "models": ["openai:gpt-4o-mini"], **HELLO}
    found = await explained(api, body, **{"tollway-strategy": "cheapest"})
    assert (found["strategy"], found["candidates"][0]["model"]) == ("cheapest", "gpt-4o-mini")
    wrong = await explained(api, body, **{"tollway-strategy": "luckiest"})
    assert wrong["refusal"]["code"] == "invalid_request_body"


async def test_a_service_with_a_price_is_in_the_hold(routed: Routed, api: httpx.AsyncClient) -> None:
    body = {"model": "openai:gpt-5.4", **HELLO, "max_tokens": 10}
    plain = await explained(api, body)
    dear = await explained(api, {**body, "service_tier": "priority"})
    assert [it["service"] for it in dear["candidates"][0]["price"]["services"]] == ["priority"]
    assert plain["candidates"][0]["price"]["services"] == []
    assert float(dear["hold"]["amount"]) > 1.5 * float(plain["hold"]["amount"])


@pytest.mark.parametrize(
    ("surface", "more"),
    [
        ("messages", {**HELLO, "max_tokens": 10}),
        ("responses", {"input": "Hello!"}),
        ("embeddings", {"input": "Hello!"}),
        ("completions", {"prompt": "Hello!"}),
    ],
)
async def test_every_surface_is_explained(
    routed: Routed, api: httpx.AsyncClient, surface: str, more: dict[str, Any]
) -> None:
    model = "simulator:embed" if surface == "embeddings" else "simulator:echo"
    found = await explained(api, {"model": model, **more, "surface": surface})
    assert (found["refusal"], found["surface"]) == (None, surface)
    assert found["hold"]["inputTokens"] > 0


def test_the_inference_body_keeps_its_bytes() -> None:
    body = b'{"model":"m","surface":"chat","temperature":1.50,"accessKeyId":null,"messages":[ "a" ]}'
    assert inference_body(body) == b'{"model":"m","temperature":1.50,"messages":[ "a" ]}'


async def test_without_a_router_it_says_that_a_service_does_not_answer(plane: Plane, api: httpx.AsyncClient) -> None:
    answer = await api.post(EXPLAIN, json={"model": "simulator:echo", **HELLO})
    assert (answer.status_code, answer.json()["errorCode"]) == (503, "gateway_unavailable")


async def test_an_account_sees_the_health_of_its_own_credentials_and_of_the_managed_ones(
    routed: Routed, api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    own = await own_key(api)
    routed.saw("gpt-4o", own, provider="openai")
    routed.saw("gpt-4o", "aigpk_of_somebody_else", provider="openai")
    routed.saw("slow", "managed:simulator", failures=2)
    await until_trouble(routed)
    found = (await api.get(HEALTH)).json()
    seen = [(it["provider"], it["model"], it["keySource"], it["providerKeyId"]) for it in found["targets"]]
    assert seen == [("openai", "gpt-4o", "user", own), ("simulator", "slow", "ngrok", None)]
    assert (found["targets"][0]["state"], found["targets"][0]["reason"]) == ("open", "server")
    assert found["targets"][0]["until"].endswith("Z")
    assert (found["targets"][1]["state"], found["targets"][1]["failures"]) == ("closed", 2)
    others = (await stranger.get(HEALTH)).json()["targets"]
    assert [it["provider"] for it in others] == ["simulator"]
    narrowed = (await api.get(HEALTH, params={"provider": "simulator"})).json()
    assert [it["provider"] for it in narrowed["targets"]] == ["simulator"]
    assert narrowed["uri"].endswith("/api/providers/health?provider=simulator")


async def test_both_are_described_in_the_specification(plane: Plane, api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    asked = paths["/api/route/explain"]["post"]
    assert asked["operationId"] == "explainRoute"
    assert "requestBody" in asked
    assert {"200", "404"} <= set(asked["responses"])
    assert paths["/api/providers/health"]["get"]["operationId"] == "getProviderHealth"
