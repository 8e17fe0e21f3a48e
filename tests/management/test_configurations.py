"""Access lists, routing rules, custom providers and settings: what is accepted, what comes back, what is refused."""

from typing import Any

import httpx
import pytest
from tests.management.test_contract import SECRET, created, is_error

CONFIGURATIONS = "/access-key-configurations"


async def test_access_and_router_come_back_as_they_were_given(api: httpx.AsyncClient) -> None:
    key = await created(api, "/provider-keys")
    body = {
        "name": "app",
        "access": {"providers": {"allow": ["openai"]}, "models": {"allow": ["openai/gpt-4o", "openai:gpt-4o"]}},
        "router": {
            "rules": [
                {
                    "provider": "openai",
                    "model": "gpt-4o",
                    "steps": [
                        {"type": "user", "keySelectionStrategy": "ordered", "keys": [{"id": key["id"]}]},
                        {"type": "managed"},
                    ],
                }
            ]
        },
    }
    made = await created(api, CONFIGURATIONS, **body)
    assert made["access"] == body["access"]
    [rule] = made["router"]["rules"]
    assert (rule["provider"], rule["model"]) == ("openai", "gpt-4o")
    assert rule["steps"][0]["keys"] == [{"id": key["id"], "name": "k", "keyRedacted": "sk-proj-ca***6789"}]
    assert rule["steps"][1] == {"type": "managed", "keySelectionStrategy": "ordered", "keys": []}


async def test_what_was_read_can_be_sent_back(api: httpx.AsyncClient) -> None:
    key = await created(api, "/provider-keys")
    rules = [{"provider": "openai", "steps": [{"type": "user", "keys": [{"id": key["id"]}]}]}]
    made = await created(api, CONFIGURATIONS, router={"rules": rules})
    again = await api.patch(f"{CONFIGURATIONS}/{made['id']}", json={"router": made["router"], "access": made["access"]})
    assert again.json()["router"] == made["router"]
    assert len((await api.get("/provider-keys")).json()["aiGatewayProviderKeys"]) == 1


async def test_an_empty_list_is_kept_apart_from_no_list(api: httpx.AsyncClient) -> None:
    made = await created(api, CONFIGURATIONS, access={"models": {"allow": []}})
    assert made["access"] == {"models": {"allow": []}}
    cleared = (await api.patch(f"{CONFIGURATIONS}/{made['id']}", json={"access": None})).json()
    assert cleared["access"] is None


async def test_the_reference_products_word_for_managed_is_understood(api: httpx.AsyncClient) -> None:
    made = await created(api, CONFIGURATIONS, router={"rules": [{"provider": "openai", "steps": [{"type": "ngrok"}]}]})
    assert made["router"]["rules"][0]["steps"][0]["type"] == "managed"


async def test_a_provider_key_given_inline_is_created_along(api: httpx.AsyncClient) -> None:
    step = {"type": "user", "keys": [{"name": "inline", "value": SECRET}]}
    router = {"rules": [{"model": "openai:gpt-4o", "steps": [step]}]}
    answer = await api.post(CONFIGURATIONS, json={"name": "c", "router": router})
    assert answer.status_code == 201
    assert SECRET not in answer.text
    [key] = (await api.get("/provider-keys")).json()["aiGatewayProviderKeys"]
    assert (key["name"], key["providerId"]) == ("inline", "openai")
    assert is_error(await api.delete(f"/provider-keys/{key['id']}"), 409, "in_use")


def rules(*steps: dict[str, Any], **scope: str) -> dict[str, Any]:
    return {"name": "c", "router": {"rules": [{**scope, "steps": list(steps)}]}}


USER = {"type": "user", "keys": [{"name": "n", "value": SECRET}]}
BAD_CONFIGURATIONS: list[tuple[dict[str, Any], str]] = [
    (rules(USER), "router.rules[0]"),
    (rules(USER, provider="nobody"), "router.rules[0].provider"),
    (rules(provider="openai"), "router.rules[0].steps"),
    (rules({"type": "both"}, provider="openai"), "router.rules[0].steps[0].type"),
    (rules({"type": "user", "keys": []}, provider="openai"), "router.rules[0].steps[0].keys"),
    (rules({"type": "managed", "keys": [{"id": "x"}]}, provider="openai"), "router.rules[0].steps[0].keys"),
    (rules({"type": "user", "keys": [{"id": "aigpk_x"}]}, provider="openai"), "router.rules[0].steps[0].keys[0].id"),
    (rules({"type": "user", "keys": [{"name": "n"}]}, provider="openai"), "router.rules[0].steps[0].keys[0].value"),
    (rules({"type": "user", "keys": [{"id": "x", "value": "v"}]}, provider="groq"), "router.rules[0].steps[0].keys[0]"),
    (rules({"keySelectionStrategy": "x"}, provider="openai"), "router.rules[0].steps[0].keySelectionStrategy"),
    (rules(USER, model="gpt-4o"), "router.rules[0].steps[0].keys[0]"),
    ({"name": "c", "access": {"models": {"allow": [""]}}}, "access.models.allow[0]"),
    ({"name": "c", "access": {"models": {"allow": [" x"]}}}, "access.models.allow[0]"),
    ({"name": "c", "access": {"models": {"deny": []}}}, "access.models.deny"),
    ({"name": "c", "access": {"model": {"allow": []}}}, "access.model"),
    ({"name": ""}, "name"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path"), BAD_CONFIGURATIONS)
async def test_a_bad_configuration_is_named_by_its_path_and_leaves_nothing_behind(
    api: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    answer = await api.post(CONFIGURATIONS, json=body)
    assert is_error(answer, 400, "validation")
    assert path in answer.json()["details"]
    assert (await api.get("/provider-keys")).json()["aiGatewayProviderKeys"] == []
    assert (await api.get(CONFIGURATIONS)).json()["aiGatewayAccessKeyConfigurations"] == []


async def test_a_key_of_another_provider_is_refused_in_a_rule(api: httpx.AsyncClient) -> None:
    key = await created(api, "/provider-keys")
    answer = await api.post(CONFIGURATIONS, json=rules({"type": "user", "keys": [{"id": key["id"]}]}, provider="groq"))
    assert is_error(answer, 400, "validation")


async def test_models_are_replaced_as_a_set_and_keep_their_ids(api: httpx.AsyncClient) -> None:
    surfaces = [{"format": "openai", "surface": "chat-completions", "supportedParams": [{"name": "temperature"}]}]
    made = await created(api, "/providers", models=[{"modelId": "a"}, {"modelId": "b"}], supportedApiSurfaces=surfaces)
    assert made["supportedApiSurfaces"] == surfaces
    ids = {model["modelId"]: model["id"] for model in made["models"]}
    patched = (
        await api.patch(f"/providers/{made['id']}", json={"models": [{"modelId": "b"}, {"modelId": "c"}]})
    ).json()
    assert [model["modelId"] for model in patched["models"]] == ["b", "c"]
    assert patched["models"][0]["id"] == ids["b"]
    assert patched["models"][1]["id"] not in ids.values()


BAD_PROVIDERS: list[tuple[dict[str, Any], str]] = [
    ({"providerId": "openai"}, "providerId"),
    ({"providerId": "OpenAI"}, "providerId"),
    ({"providerId": "a:b"}, "providerId"),
    ({"providerId": "a/b"}, "providerId"),
    ({"providerId": "a|b"}, "providerId"),
    ({"providerId": "x" * 256}, "providerId"),
    ({"baseUrl": "http://box.example/v1"}, "baseUrl"),
    ({"baseUrl": "https://127.0.0.1/v1"}, "baseUrl"),
    ({"baseUrl": "https://169.254.169.254/latest"}, "baseUrl"),
    ({"baseUrl": "https://localhost:11434"}, "baseUrl"),
    ({"baseUrl": "https://user:pw@box.example"}, "baseUrl"),
    ({"baseUrl": "https://box.example/" + "x" * 2048}, "baseUrl"),
    ({"models": [{"modelId": "a"}, {"modelId": "A"}]}, "models[1].modelId"),
    ({"models": [{"modelId": ""}]}, "models[0].modelId"),
    ({"supportedApiSurfaces": [{"format": "openai", "surface": "telepathy"}]}, "supportedApiSurfaces[0]"),
    ({"pool": "not a token"}, "pool"),
]


@pytest.mark.parametrize(("fields", "path"), BAD_PROVIDERS)
async def test_a_bad_provider_is_named_by_its_path(api: httpx.AsyncClient, fields: dict[str, Any], path: str) -> None:
    body = {"providerId": "box", "name": "Box", "baseUrl": "https://box.example/v1", **fields}
    answer = await api.post("/providers", json=body)
    assert is_error(answer, 400, "validation")
    assert path in answer.json()["details"]


async def test_a_provider_id_is_taken_once_per_account(api: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    made = await created(api, "/providers")
    body = {"providerId": made["providerId"], "name": "again", "baseUrl": "https://other.example"}
    assert is_error(await api.post("/providers", json=body), 409, "conflict")
    assert (await stranger.post("/providers", json=body)).status_code == 201


async def test_a_provider_is_not_deleted_while_keys_or_rules_name_it(api: httpx.AsyncClient) -> None:
    made = await created(api, "/providers")
    key = await created(api, "/provider-keys", providerId="box-0")
    configuration = await created(
        api, CONFIGURATIONS, router={"rules": [{"provider": "box-0", "steps": [{"type": "user"}]}]}
    )
    path = f"/providers/{made['id']}"
    assert (await api.delete(path)).json()["details"]["usedBy"] == f"{key['id']},{configuration['id']}"
    await api.delete(f"/provider-keys/{key['id']}")
    await api.delete(f"{CONFIGURATIONS}/{configuration['id']}")
    assert (await api.delete(path)).status_code == 204


async def test_a_key_for_an_unknown_provider_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.post("/provider-keys", json={"providerId": "nobody", "value": SECRET})
    assert is_error(answer, 400, "validation")
    assert "providerId" in answer.json()["details"]


async def test_settings_begin_with_the_defaults_and_remember_durations(api: httpx.AsyncClient) -> None:
    first = (await api.get("/gateway-config")).json()
    assert (first["totalTimeout"], first["perRequestTimeout"]) == ("2m", "1m")
    assert (first["maxInputTokens"], first["metadata"]) == (None, None)
    body = {
        "totalTimeout": "1m30s",
        "perRequestTimeout": "1500ms",
        "connectTimeout": "2s",
        "rescueStreams": True,
        "maxInputTokens": 1000,
        "metadata": "m",
    }
    assert (first["connectTimeout"], first["rescueStreams"]) == ("5s", False)
    patched = (await api.patch("/gateway-config", json=body)).json()
    assert {name: patched[name] for name in body} == {**body, "perRequestTimeout": "1.5s"}
    cleared = {"totalTimeout": None, "maxInputTokens": None, "metadata": None}
    again = (await api.patch("/gateway-config", json=cleared)).json()
    assert (again["totalTimeout"], again["maxInputTokens"], again["metadata"]) == ("2m", None, None)
    assert again["perRequestTimeout"] == "1.5s"


@pytest.mark.parametrize("text", ["30", "s", "-1s", "0s", "25h", "1 m", "1d", "1e3s", "∞", "٣s", "1s" * 40, 30, True])
async def test_what_go_would_not_read_as_a_duration_is_refused(api: httpx.AsyncClient, text: Any) -> None:
    answer = await api.patch("/gateway-config", json={"totalTimeout": text})
    assert is_error(answer, 400, "validation")
    assert "totalTimeout" in answer.json()["details"]


@pytest.mark.parametrize("count", [0, -1, 1.5, "1", True, 2**63])
async def test_caps_are_positive_whole_numbers(api: httpx.AsyncClient, count: Any) -> None:
    assert is_error(await api.patch("/gateway-config", json={"maxInputTokens": count}), 400, "validation")


async def test_the_platforms_defaults_hold_where_an_account_set_nothing(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    await stranger.patch("/gateway-config", json={"maxOutputTokens": 5})
    await api.patch("/platform-config", json={"totalTimeout": "45s", "maxInputTokens": 7, "maxOutputTokens": 9})
    theirs = (await stranger.get("/gateway-config")).json()
    assert (theirs["totalTimeout"], theirs["maxInputTokens"], theirs["maxOutputTokens"]) == ("45s", 7, 5)
    unlimited = (await stranger.patch("/gateway-config", json={"maxInputTokens": None})).json()
    assert unlimited["maxInputTokens"] is None
    assert is_error(await stranger.patch("/platform-config", json={}), 403, "forbidden")
