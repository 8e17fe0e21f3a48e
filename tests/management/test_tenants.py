"""One account cannot see another: every call of the specification, made with another account's ids."""

from typing import Any

import httpx
import pytest
from tests.management.conftest import Plane
from tests.management.test_contract import PATHS, WRAPPERS, created, is_error

from tollway import settings
from tollway.bus.memory import Broker, MemoryBus
from tollway.ingress.management.app import api as make_app
from tollway.telemetry import Telemetry

OPERATORS_ONLY = ("/accounts", "/managed-credentials", "/sealed-keys", "/platform-config")


def operations() -> list[tuple[str, str]]:
    """Every (method, path) of the specification, so that a new one cannot be forgotten here."""
    told = settings.read("ingress", {})
    app = make_app(MemoryBus("none", Broker()), told, Telemetry(told))
    paths: dict[str, Any] = app.openapi()["paths"]
    return sorted((method.upper(), path.removeprefix("/api")) for path, item in paths.items() for method in item)


OPERATIONS = operations()
BY_ID = [(method, path) for method, path in OPERATIONS if "{id}" in path and not path.startswith(OPERATORS_ONLY)]
BODIES: dict[str, dict[str, Any]] = {"rotate": {"value": "sk-new-value-0123456789"}}


@pytest.mark.parametrize(("method", "path"), BY_ID)
async def test_anothers_resource_reads_as_missing_and_stays_as_it_was(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, method: str, path: str
) -> None:
    collection = "/" + path.split("/")[1]
    theirs = await created(stranger, collection)
    body = BODIES.get(path.rsplit("/", 1)[-1], {}) if method in ("PATCH", "POST") else None
    answer = await api.request(method, path.replace("{id}", theirs["id"]), json=body)
    assert is_error(answer, 404, "resource_missing")
    nobody = await api.request(method, path.replace("{id}", theirs["id"][:-1] + "0"), json=body)
    assert nobody.json() == answer.json()
    assert (await stranger.get(f"{collection}/{theirs['id']}")).json()["updatedAt"] == theirs["updatedAt"]


@pytest.mark.parametrize("path", PATHS)
async def test_lists_show_nothing_of_others(api: httpx.AsyncClient, stranger: httpx.AsyncClient, path: str) -> None:
    theirs = await created(stranger, path)
    for query in ({}, {"beforeId": theirs["id"] + "~"}):
        listed = (await api.get(path, params=query)).json()[WRAPPERS[path]]
        assert theirs["id"] not in [item["id"] for item in listed]
    assert theirs["id"] in [item["id"] for item in (await stranger.get(path)).json()[WRAPPERS[path]]]


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path in OPERATIONS if path.startswith(OPERATORS_ONLY)]
)
async def test_operators_calls_are_closed_to_others(
    plane: Plane, stranger: httpx.AsyncClient, method: str, path: str
) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/accounts": {"name": "x"},
        "/accounts/{id}/credits": {"amount": 100},
        "/accounts/{id}/adjustments": {"amount": 100, "reason": "r", "ticket": "t"},
        "/managed-credentials": {"providerId": "openai", "value": "sk-0123456789"},
        "/sealed-keys/rewrap": {"sealedKeys": []},
    }
    body = bodies.get(path, {}) if method in ("POST", "PATCH") else None
    query = {"kekVersion": 2} if path == "/sealed-keys" else None
    answer = await stranger.request(method, path.replace("{id}", plane.account_id), json=body, params=query)
    assert answer.status_code in (403, 404), answer.text
    assert plane.ledger.asked == []


async def test_references_to_others_are_like_references_to_nothing(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    key, configuration = (
        await created(stranger, "/provider-keys"),
        await created(stranger, "/access-key-configurations"),
    )
    rule = {"provider": "openai", "steps": [{"type": "user", "keys": [{"id": key["id"]}]}]}
    in_rule = await api.post("/access-key-configurations", json={"name": "c", "router": {"rules": [rule]}})
    assert is_error(in_rule, 400, "validation")
    in_key = await api.post("/access-keys", json={"accessKeyConfigurationId": configuration["id"]})
    assert is_error(in_key, 400, "validation")


async def test_an_admin_cannot_make_itself_an_operator(stranger: httpx.AsyncClient, plane: Plane) -> None:
    assert is_error(await stranger.post("/api-keys", json={"role": "operator"}), 403, "forbidden")
    assert is_error(await stranger.post("/api-keys", json={"accountId": plane.account_id}), 403, "forbidden")


async def test_queries_are_asked_for_the_callers_account_only(plane: Plane, stranger: httpx.AsyncClient) -> None:
    for path in ("/credits/balance", "/credits/transactions", "/usage/requests/rq_x"):
        await stranger.get(path)
    for path in ("/usage", "/usage/overview"):
        await stranger.get(path, params={"startTime": "2026-01-01T00:00:00Z", "accessKeyId": "aigk_x"})
    accounts = {command.account_id for command in plane.ledger.asked}
    assert len(plane.ledger.asked) == 5
    assert plane.account_id not in accounts
    assert len(accounts) == 1
