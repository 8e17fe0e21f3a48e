"""What operators do: accounts, credit, the platform's credentials, a new master key."""

import base64
from pathlib import Path

import httpx
from tests.management.conftest import Plane
from tests.management.test_contract import SECRET, created, is_error

from tollway.sealing import (
    Bound,
    KeySource,
    PrivateRing,
    PublicRing,
    open_sealed,
    rewrap,
    rotate_master_key,
)
from tollway.wire import queries as q
from tollway.wire.access import CheckAccessKey, FetchSealed, Principal, SealedCredential
from tollway.wire.refusals import Refusal


async def test_a_new_account_comes_with_a_key_that_works_and_is_no_operator(
    plane: Plane, api: httpx.AsyncClient
) -> None:
    made = (await api.post("/accounts", json={"name": "customer", "metadata": "42"})).json()
    assert made["id"].startswith("ac_")
    assert made["apiKey"]["role"] == "admin"
    async with plane.client(made["apiKey"]["token"]) as theirs:
        key = await created(theirs, "/access-keys")
        assert key["token"].split("-")[1].startswith(made["handle"])
        assert (await theirs.get("/gateway-config")).json()["accountId"] == made["id"]
        assert (await theirs.get(f"/accounts/{made['id']}")).json()["name"] == "customer"
        assert is_error(await theirs.get("/accounts"), 403, "forbidden")
        assert is_error(await theirs.get(f"/accounts/{plane.account_id}"), 404, "resource_missing")
        assert is_error(await theirs.patch(f"/accounts/{made['id']}", json={"enabled": True}), 403, "forbidden")
    ids = [account["id"] for account in (await api.get("/accounts")).json()["accounts"]]
    assert ids == [made["id"], plane.account_id]


async def test_a_disabled_accounts_keys_are_dead_and_come_back(plane: Plane, api: httpx.AsyncClient) -> None:
    made = (await api.post("/accounts", json={"name": "customer"})).json()
    async with plane.client(made["apiKey"]["token"]) as theirs:
        token = (await created(theirs, "/access-keys"))["token"]
        await api.patch(f"/accounts/{made['id']}", json={"enabled": False})
        assert is_error(await theirs.get("/access-keys"), 401, "unauthorized")
        answer = await plane.house.client.ask("auth.check", CheckAccessKey(token), Principal, timeout_s=5)
        assert isinstance(answer, Refusal)
        await api.patch(f"/accounts/{made['id']}", json={"enabled": True})
        assert (await theirs.get("/access-keys")).status_code == 200
    assert is_error(await api.patch(f"/accounts/{plane.account_id}", json={"enabled": False}), 409, "conflict")


async def test_an_operator_makes_a_key_for_another_account(plane: Plane, api: httpx.AsyncClient) -> None:
    made = (await api.post("/accounts", json={"name": "customer"})).json()
    key = await created(api, "/api-keys", accountId=made["id"], name="theirs")
    async with plane.client(key["token"]) as theirs:
        assert (await theirs.get("/gateway-config")).json()["accountId"] == made["id"]
    assert is_error(await api.post("/api-keys", json={"accountId": "ac_nobody"}), 400, "validation")


async def test_a_grant_is_booked_once_per_reference(plane: Plane, api: httpx.AsyncClient) -> None:
    path = f"/accounts/{plane.account_id}/credits"
    body = {"amount": 1234, "category": "promotional", "reason": "welcome", "reference": "r-1"}
    first, second = await api.post(path, json=body), await api.post(path, json=body)
    assert (first.status_code, first.json()["amountCents"], first.json()["availableCents"]) == (201, 1234, 1234)
    assert second.json() == first.json()
    assert is_error(await api.post(path, json={**body, "amount": 1}), 409, "duplicate_payment")
    await api.post(path, json={"amount": 100})
    await api.post(path, json={"amount": 100})
    assert len(plane.ledger.booked) == 3


async def test_money_never_goes_to_an_account_that_does_not_exist(plane: Plane, api: httpx.AsyncClient) -> None:
    for path in ("/accounts/ac_nobody/credits", "/accounts/ac_nobody/adjustments"):
        body = {"amount": 100} if path.endswith("credits") else {"amount": 100, "reason": "r", "ticket": "t"}
        assert is_error(await api.post(path, json=body), 404, "resource_missing")
    assert plane.ledger.booked == {}


async def test_an_adjustment_needs_a_reason_and_a_ticket(plane: Plane, api: httpx.AsyncClient) -> None:
    path = f"/accounts/{plane.account_id}/adjustments"
    for bad in (
        {"amount": -1},
        {"amount": 0, "reason": "r", "ticket": "t"},
        {"amount": 1.5, "reason": "r", "ticket": "t"},
    ):
        assert is_error(await api.post(path, json=bad), 400, "validation")
    good = await api.post(path, json={"amount": -250, "reason": "error in price", "ticket": "T-1"})
    assert good.json()["availableCents"] == -250
    [command] = plane.ledger.booked.values()
    assert (command.amount_nusd, command.ticket) == (-2_500_000_000, "T-1")


async def test_a_balance_of_any_account_for_operators(plane: Plane, api: httpx.AsyncClient) -> None:
    plane.ledger.answers["GetBalance"] = q.Balance(1_000_000_000, 20_000_000, 0)
    answer = await api.get(f"/accounts/{plane.account_id}/balance")
    assert answer.json() == {"availableCents": 100, "heldCents": 2, "debtCents": 0}


async def test_managed_credentials_are_set_replaced_shown_redacted_and_deleted(api: httpx.AsyncClient) -> None:
    made = (await api.post("/managed-credentials", json={"providerId": "groq", "value": SECRET})).json()
    again = (await api.post("/managed-credentials", json={"providerId": "groq", "value": f"{SECRET}2"})).json()
    assert (made["id"], again["id"], again["keyRedacted"]) == ("managed:groq", "managed:groq", "sk-proj-ca***7892")
    listed = await api.get("/managed-credentials")
    assert [item["id"] for item in listed.json()["managedCredentials"]] == ["managed:groq"]
    assert SECRET not in listed.text
    assert (await api.delete("/managed-credentials/managed:groq")).status_code == 204
    assert is_error(await api.get("/managed-credentials/managed:groq"), 404, "resource_missing")
    assert is_error(await api.post("/managed-credentials", json={"providerId": "box", "value": "x"}), 400, "validation")


async def test_a_new_master_key_is_put_in_place_while_everything_runs(plane: Plane, api: httpx.AsyncClient) -> None:
    key = await created(api, "/provider-keys")
    data = Path(plane.house.environ["TOLLWAY_DATA_DIR"])
    private, public = data / "master.key", data / "master.pub"
    rotate_master_key(private, public)
    [item] = (await api.get("/sealed-keys", params={"kekVersion": 2})).json()["sealedKeys"]
    bound = Bound(item["accountId"], item["provider"], item["credentialId"], item["version"])
    ring = PrivateRing(KeySource(path=private))
    wrapped = rewrap(
        base64.b64decode(item["wrappedKey"]),
        bound,
        kek_version=item["kekVersion"],
        private=ring,
        public=PublicRing(KeySource(path=public).read()),
    )
    body = {"sealedKeys": [{**item, "kekVersion": 2, "wrappedKey": base64.b64encode(wrapped).decode()}]}
    assert (await api.post("/sealed-keys/rewrap", json=body)).json() == {"count": 1}
    assert (await api.post("/sealed-keys/rewrap", json=body)).json() == {"count": 0}
    assert (await api.get("/sealed-keys", params={"kekVersion": 2})).json()["sealedKeys"] == []
    sealed = await plane.house.ask("auth.sealed", FetchSealed(plane.account_id, key["id"]), SealedCredential)
    assert sealed.kek_version == 2
    assert open_sealed(sealed, ring) == SECRET


async def test_without_a_master_key_provider_keys_are_refused_with_the_reason(
    plane: Plane, api: httpx.AsyncClient
) -> None:
    (Path(plane.house.environ["TOLLWAY_DATA_DIR"]) / "master.pub").unlink()
    body = {"providerId": "openai", "value": SECRET}
    assert is_error(await api.post("/provider-keys", json=body), 501, "feature_disabled")
    assert (await api.post("/access-keys", json={})).status_code == 201
