"""The resources as product.md has them: paths, wrappers, ids, fields, paging, null and absent, HEAD, errors."""

import re
from typing import Any

import httpx
import pytest

STAMPS = {"id", "uri", "createdAt", "updatedAt", "createdBy", "lastUpdatedBy"}
FIELDS: dict[str, set[str]] = {
    "/access-keys": {"name", "description", "metadata", "keyRedacted", "lastUsed", "accessKeyConfiguration"},
    "/access-key-configurations": {"name", "description", "metadata", "access", "router"},
    "/provider-keys": {"providerId", "name", "keyRedacted", "description", "metadata", "lastUsed"},
    "/providers": {"providerId", "name", "baseUrl", "metadata", "supportedApiSurfaces", "models"},
    "/api-keys": {"name", "description", "metadata", "keyRedacted", "lastUsed"},
}
OURS: dict[str, set[str]] = {
    "/access-keys": {"enabled", "expiresAt", "limits"},
    "/access-key-configurations": set(),
    "/provider-keys": set(),
    "/providers": {"pool"},
    "/api-keys": {"role"},
}
WRAPPERS = {
    "/access-keys": "aiGatewayAccessKeys",
    "/access-key-configurations": "aiGatewayAccessKeyConfigurations",
    "/provider-keys": "aiGatewayProviderKeys",
    "/providers": "aiGatewayProviders",
    "/api-keys": "aiGatewayApiKeys",
}
PREFIXES = {
    "/access-keys": "aigk_",
    "/access-key-configurations": "aigac_",
    "/provider-keys": "aigpk_",
    "/providers": "aigp_",
    "/api-keys": "aigak_",
}
TOKENS = {"/access-keys": "tw-", "/api-keys": "twapi-"}
PATHS = sorted(FIELDS)
SECRET = "sk-proj-canary-0123456789"


def draft(path: str, n: int = 0) -> dict[str, Any]:
    """The least that creates one."""
    return {
        "/access-keys": {},
        "/access-key-configurations": {"name": f"c{n}"},
        "/provider-keys": {"providerId": "openai", "name": "k", "value": SECRET},
        "/providers": {"providerId": f"box-{n}", "name": "Box", "baseUrl": "https://box.example/v1"},
        "/api-keys": {},
    }[path]


async def created(api: httpx.AsyncClient, path: str, n: int = 0, **more: Any) -> dict[str, Any]:
    answer = await api.post(path, json={**draft(path, n), **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def is_error(answer: httpx.Response, status: int, code: str) -> bool:
    body = answer.json()
    assert set(body) == {"errorCode", "statusCode", "msg", "details"}
    assert all(isinstance(value, str) for value in body["details"].values())
    return (answer.status_code, body["statusCode"], body["errorCode"]) == (status, status, code)


@pytest.mark.parametrize("path", PATHS)
async def test_a_resource_has_exactly_its_fields_and_its_token_only_when_created(
    api: httpx.AsyncClient, path: str
) -> None:
    made = await created(api, path)
    token = {"token"} if path in TOKENS else set[str]()
    assert set(made) == STAMPS | FIELDS[path] | OURS[path] | token
    read = (await api.get(f"{path}/{made['id']}")).json()
    assert read == {name: value for name, value in made.items() if name != "token"}
    assert re.fullmatch(rf"{PREFIXES[path]}[0-9A-HJKMNP-TV-Z]{{26}}", made["id"])
    assert made["uri"] == f"http://gateway.test/api{path}/{made['id']}"
    assert set(made["createdBy"]) == {"id", "uri"}
    if path in TOKENS:
        assert re.fullmatch(rf"{TOKENS[path]}[0-9A-Za-z]{{12}}-g1-[0-9A-Za-z]{{38}}", made["token"])


@pytest.mark.parametrize("path", PATHS)
async def test_times_are_rfc_3339_in_utc_and_updates_move_one_of_them(api: httpx.AsyncClient, path: str) -> None:
    made = await created(api, path)
    patched = (await api.patch(f"{path}/{made['id']}", json={"metadata": "m"})).json()
    for name in ("createdAt", "updatedAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", patched[name])
    assert patched["createdAt"] == made["createdAt"]
    assert patched["updatedAt"] >= made["updatedAt"]


@pytest.mark.parametrize("path", PATHS)
async def test_lists_are_newest_first_and_page_by_id(api: httpx.AsyncClient, path: str) -> None:
    ids = [(await created(api, path, n))["id"] for n in range(5)]
    newest_first = list(reversed(ids))
    first = (await api.get(path, params={"limit": 2})).json()
    assert set(first) == {WRAPPERS[path], "uri", "nextPageUri"}
    assert [item["id"] for item in first[WRAPPERS[path]]] == newest_first[:2]
    second = (await api.get(first["nextPageUri"])).json()
    assert [item["id"] for item in second[WRAPPERS[path]]] == newest_first[2:4]
    rest = (await api.get(path, params={"beforeId": ids[0]})).json()
    assert rest["nextPageUri"] is None
    assert not {item["id"] for item in rest[WRAPPERS[path]]} & set(ids)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5"])
async def test_limits_out_of_range_are_refused(api: httpx.AsyncClient, limit: str) -> None:
    answer = await api.get("/access-keys", params={"limit": limit})
    assert is_error(answer, 400, "validation")
    assert "limit" in answer.json()["details"]


@pytest.mark.parametrize("path", PATHS)
async def test_absent_leaves_and_null_clears(api: httpx.AsyncClient, path: str) -> None:
    made = await created(api, path, metadata="m")
    same = (await api.patch(f"{path}/{made['id']}", json={})).json()
    assert same["metadata"] == "m"
    assert same["updatedAt"] == made["updatedAt"]
    cleared = (await api.patch(f"{path}/{made['id']}", json={"metadata": None})).json()
    assert cleared["metadata"] is None


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_deleted_is_missing_also_the_second_time(api: httpx.AsyncClient, path: str) -> None:
    made = await created(api, path)
    gone = await api.delete(f"{path}/{made['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        answer = await api.request(method, f"{path}/{made['id']}", json={} if method == "PATCH" else None)
        assert is_error(answer, 404, "resource_missing")


@pytest.mark.parametrize("path", [*PATHS, "/gateway-config", "/openapi.json"])
async def test_head_is_get_without_a_body(api: httpx.AsyncClient, path: str) -> None:
    get, head = await api.get(path), await api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("path", PATHS)
async def test_unknown_fields_are_refused_by_name(api: httpx.AsyncClient, path: str) -> None:
    made = await created(api, path)
    for answer in (
        await api.post(path, json={**draft(path, 9), "nmae": "x"}),
        await api.patch(f"{path}/{made['id']}", json={"nmae": "x"}),
    ):
        assert is_error(answer, 400, "validation")
        assert "nmae" in answer.json()["details"]


LONG = [("name", 256), ("description", 256), ("metadata", 4097)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("field", "length"), LONG)
async def test_texts_over_their_length_are_refused(api: httpx.AsyncClient, path: str, field: str, length: int) -> None:
    if field not in FIELDS[path]:
        return
    long = await api.post(path, json={**draft(path), field: "é" * length})
    assert is_error(long, 400, "validation")
    assert field in long.json()["details"]
    assert (await api.post(path, json={**draft(path), field: "é" * (length - 1)})).status_code == 201


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("value", [1, True, [], {}])
async def test_wrong_types_are_refused_and_never_coerced(api: httpx.AsyncClient, path: str, value: Any) -> None:
    assert is_error(await api.post(path, json={**draft(path), "name": value}), 400, "validation")


REQUIRED = [
    ("/access-key-configurations", "name"),
    ("/provider-keys", "providerId"),
    ("/provider-keys", "value"),
    ("/providers", "providerId"),
    ("/providers", "name"),
    ("/providers", "baseUrl"),
]


@pytest.mark.parametrize(("path", "field"), REQUIRED)
async def test_required_fields_are_required_and_may_not_be_cleared(
    api: httpx.AsyncClient, path: str, field: str
) -> None:
    body = draft(path)
    del body[field]
    answer = await api.post(path, json=body)
    assert is_error(answer, 400, "validation")
    assert answer.json()["details"] == {field: "is required"}
    assert is_error(await api.post(path, json={**draft(path), field: None}), 400, "validation")


@pytest.mark.parametrize(("method", "path"), [("PUT", "/access-keys"), ("DELETE", "/usage"), ("OPTIONS", "/api-keys")])
async def test_other_methods_are_named_as_such(api: httpx.AsyncClient, method: str, path: str) -> None:
    assert is_error(await api.request(method, path), 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/nothing", "/access-keys/", "//access-keys", "/access-keys/a/b", ""])
async def test_other_addresses_are_not_found(api: httpx.AsyncClient, path: str) -> None:
    assert is_error(await api.get(f"http://gateway.test/api{path}"), 404, "not_found")


async def test_a_provider_key_is_shown_redacted_and_its_value_never(api: httpx.AsyncClient) -> None:
    made = await created(api, "/provider-keys")
    assert made["keyRedacted"] == "sk-proj-ca***6789"
    listed = await api.get("/provider-keys", params={"provider": "openai"})
    assert SECRET not in listed.text
    assert (await api.get("/provider-keys", params={"provider": "anthropic"})).json()["aiGatewayProviderKeys"] == []


@pytest.mark.parametrize(
    "value", ["sk-proj-0123456789\n", " sk-proj-0123456789", "sk-proj\t0123456789", "sk-präsent", " "]
)
async def test_a_provider_key_that_no_header_can_carry_is_refused_unseen(api: httpx.AsyncClient, value: str) -> None:
    for path, body in (
        ("/provider-keys", {"providerId": "openai", "value": value}),
        ("/managed-credentials", {"providerId": "openai", "value": value}),
    ):
        answer = await api.post(path, json=body)
        assert is_error(answer, 400, "validation")
        assert "header" in answer.json()["details"]["value"]
        assert "0123456789" not in answer.text


async def test_rotation_keeps_the_id_and_changes_the_rest(api: httpx.AsyncClient) -> None:
    made = await created(api, "/provider-keys")
    path = f"/provider-keys/{made['id']}/rotate"
    rotated = (await api.post(path, json={"name": "second", "value": "sk-proj-second-9876543210"})).json()
    assert (rotated["id"], rotated["name"], rotated["keyRedacted"]) == (made["id"], "second", "sk-proj-se***3210")
    kept = (await api.post(path, json={"value": "sk-proj-third-9876543210x"})).json()
    assert kept["name"] == "second"
    assert is_error(await api.post(path, json={"name": "x"}), 400, "validation")
    assert is_error(await api.post("/provider-keys/aigpk_x/rotate", json={"value": "v"}), 404, "resource_missing")


async def test_an_access_key_shows_its_configuration_by_reference(api: httpx.AsyncClient) -> None:
    configuration = await created(api, "/access-key-configurations")
    key = await created(api, "/access-keys", accessKeyConfigurationId=configuration["id"])
    assert key["accessKeyConfiguration"] == {"id": configuration["id"], "uri": configuration["uri"], "name": "c0"}
    refused = await api.delete(f"/access-key-configurations/{configuration['id']}")
    assert is_error(refused, 409, "in_use")
    assert refused.json()["details"] == {"usedBy": key["id"]}
    cleared = (await api.patch(f"/access-keys/{key['id']}", json={"accessKeyConfigurationId": None})).json()
    assert cleared["accessKeyConfiguration"] is None
    assert (await api.delete(f"/access-key-configurations/{configuration['id']}")).status_code == 204


async def test_limits_of_a_key_are_set_one_by_one(api: httpx.AsyncClient) -> None:
    key = await created(api, "/access-keys", limits={"spendPerDay": "2.50", "addresses": ["10.0.0.0/8"]})
    path = f"/access-keys/{key['id']}"
    patched = (await api.patch(path, json={"limits": {"requestsPerMinute": 60, "addresses": None}})).json()
    assert patched["limits"] == {
        "requestsPerMinute": 60,
        "tokensPerMinute": None,
        "spendPerDay": "2.5",
        "spendPerMonth": None,
        "addresses": None,
    }
    assert (await api.patch(path, json={"limits": None})).json()["limits"]["requestsPerMinute"] is None


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        ({"requestsPerMinute": 0}, "limits.requestsPerMinute"),
        ({"spendPerDay": "-1"}, "limits.spendPerDay"),
        ({"spendPerDay": 1.5}, "limits.spendPerDay"),
        ({"spendPerDay": "0.0000000001"}, "limits.spendPerDay"),
        ({"spendPerMonth": "1e999"}, "limits.spendPerMonth"),
        ({"spendPerMonth": "1e3"}, "limits.spendPerMonth"),
        ({"spendPerMonth": " 1"}, "limits.spendPerMonth"),
        ({"spendPerMonth": "٣"}, "limits.spendPerMonth"),
        ({"addresses": ["10.0.0.0/33"]}, "limits.addresses[0]"),
        ({"perHour": 1}, "limits.perHour"),
    ],
)
async def test_bad_limits_are_named_by_their_path(api: httpx.AsyncClient, limits: Any, path: str) -> None:
    answer = await api.post("/access-keys", json={"limits": limits})
    assert is_error(answer, 400, "validation")
    assert path in answer.json()["details"]


@pytest.mark.parametrize("at", ["2020-01-01T00:00:00Z", "tomorrow", "2030-01-01", "2030-01-01T00:00:00", 1893456000])
async def test_an_expiry_must_be_a_time_to_come(api: httpx.AsyncClient, at: Any) -> None:
    answer = await api.post("/access-keys", json={"expiresAt": at})
    assert is_error(answer, 400, "validation")
    assert "expiresAt" in answer.json()["details"]
    good = await created(api, "/access-keys", expiresAt="2130-01-01T02:00:00+02:00")
    assert good["expiresAt"] == "2130-01-01T00:00:00Z"


async def test_the_last_operators_key_cannot_be_deleted(api: httpx.AsyncClient) -> None:
    [key] = (await api.get("/api-keys")).json()["aiGatewayApiKeys"]
    assert is_error(await api.delete(f"/api-keys/{key['id']}"), 409, "conflict")
    await created(api, "/api-keys", role="operator")
    assert (await api.delete(f"/api-keys/{key['id']}")).status_code == 204
    assert is_error(await api.get("/api-keys"), 401, "unauthorized")
