"""Who comes in, what a bad request costs, and what no answer may contain."""

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest
from tests.management.conftest import Plane
from tests.management.test_contract import is_error

from tollway.bus.memory import MemoryBus
from tollway.ingress.management.gate import BODY_BYTES_MAX, Gate
from tollway.wire.keys import write_key


class Counting(MemoryBus):
    """A bus that counts what is asked of it."""

    def __init__(self, plane: Plane) -> None:
        super().__init__("counting", plane.house.broker)
        self.asked: list[str] = []

    async def ask(self, subject: str, body: msgspec.Struct, *args: Any, **more: Any) -> Any:
        self.asked.append(type(body).__name__)
        return await super().ask(subject, body, *args, **more)


BAD_KEYS = [
    "",
    "garbage",
    "twapi-" + "a" * 54,
    "twapi-aaaaaaaaaaaa-g1-" + "b" * 32 + "000000",
    write_key("tw", id="a" * 12, secret="b" * 32),
    write_key("twapi", id="a" * 12, secret="b" * 32)[:-1] + "~",
]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_malformed_key_costs_no_message(plane: Plane, key: str) -> None:
    bus = Counting(plane)
    plane.app = Gate(plane.app._app, bus)
    async with plane.client(key) as client:
        answer = await client.get("/access-keys")
    assert is_error(answer, 401, "unauthorized")
    assert bus.asked == []
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_well_formed_key_that_nobody_has_costs_one_question_and_no_write(plane: Plane) -> None:
    bus = Counting(plane)
    plane.app = Gate(plane.app._app, bus)
    async with plane.client(write_key("twapi", id="a" * 12, secret="b" * 32)) as client:
        assert is_error(await client.post("/access-keys", json={}), 401, "unauthorized")
    assert bus.asked == ["CheckApiKey"]


async def test_an_access_key_is_told_apart_by_name(plane: Plane) -> None:
    async with plane.client(plane.access_key) as client:
        answer = await client.get("/access-keys")
    assert is_error(answer, 401, "unauthorized")
    assert "access key" in answer.json()["msg"]


async def test_the_key_is_checked_before_the_body_is_read(plane: Plane) -> None:
    async with plane.client("garbage") as client:
        assert is_error(await client.post("/access-keys", content=b"{not json"), 401, "unauthorized")


async def test_two_authorization_headers_are_no_key(plane: Plane, api: httpx.AsyncClient) -> None:
    headers = [("authorization", f"Bearer {plane.api_key}"), ("authorization", f"Bearer {plane.api_key}")]
    transport = httpx.ASGITransport(app=plane.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test/api") as client:
        request = client.build_request("GET", "/access-keys", headers=headers)
        assert is_error(await client.send(request), 401, "unauthorized")


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"{", "not valid JSON"),
    (b"[]", ""),
    (b'"x"', ""),
    (b"null", ""),
    (b'{"name": NaN}', "not valid JSON"),
    (b'{"name": "a", "name": "b"}', "not valid JSON"),
    (b'{"limits": {"addresses": null, "addresses": []}}', "not valid JSON"),
    (b'{"name": "\xff"}', "not valid JSON"),
    (b'{"name": "\\ud800"}', "not valid JSON"),
    (b'{"x":' + b"[" * 100 + b"]" * 100 + b"}", "nested too deep"),
    (b"[" * 50_000, ""),
    (b"{} {}", "not valid JSON"),
    (b'{"metadata": ' + b"9" * 5_000 + b"}", ""),
]


@pytest.mark.parametrize(("body", "why"), BAD_BODIES)
async def test_bad_json_is_refused_with_a_reason(api: httpx.AsyncClient, body: bytes, why: str) -> None:
    answer = await api.post("/access-keys", content=body, headers={"content-type": "application/json"})
    assert is_error(answer, 400, "validation")
    assert why in answer.json()["details"].get("body", "")
    assert (await api.get("/access-keys")).status_code == 200


@pytest.mark.parametrize("said", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_a_body_that_is_not_said_to_be_json_is_refused_with_what_to_say(
    api: httpx.AsyncClient, said: str | None
) -> None:
    headers = {} if said is None else {"content-type": said}
    answer = await api.post("/access-keys", content=b'{"name": "n"}', headers=headers)
    assert is_error(answer, 400, "validation")
    assert "Content-Type: application/json" in answer.json()["msg"]
    good = await api.post("/access-keys", content=b"{}", headers={"content-type": "Application/JSON; charset=utf-8"})
    assert good.status_code == 201


async def test_a_body_over_the_limit_is_refused_while_it_arrives(api: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    answer = await asyncio.wait_for(api.post("/access-keys", content=endless()), 10)
    assert is_error(answer, 413, "body_too_large")
    assert sent <= BODY_BYTES_MAX + 2 * 65_536


async def test_nul_and_odd_characters_are_kept_as_they_are(api: httpx.AsyncClient) -> None:
    name = "\x00 \u202e \U0001f511 ' OR 1=1 --"
    made = (await api.post("/access-keys", json={"name": name})).json()
    assert made["name"] == name
    assert (await api.get(f"/access-keys/{made['id']}")).json()["name"] == name


@pytest.mark.parametrize("path", ["/access-keys", "/nothing", "/openapi.json", "/docs", "/docs/start.js"])
async def test_every_answer_carries_the_headers_that_keep_it_in_its_place(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


async def test_the_documentation_needs_no_other_server(plane: Plane) -> None:
    async with plane.client("") as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "http://" not in page.text
        assert "https://" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
            assert (await client.get(f"/docs/{name}")).status_code == 200
        assert is_error(await client.get("/docs/nothing.js"), 404, "not_found")
        assert "/api/access-keys" in (await client.get("/openapi.json")).json()["paths"]


async def test_addresses_follow_the_host_that_was_asked_and_nothing_odd_gets_into_them(api: httpx.AsyncClient) -> None:
    good = await api.get("/access-keys", headers={"host": "[::1]:8080"})
    assert good.json()["uri"] == "http://[::1]:8080/api/access-keys"
    odd = await api.get("/access-keys", headers={"host": "evil.example/<script>"})
    assert odd.json()["uri"] == "/api/access-keys"


async def test_a_part_of_the_gateway_that_is_gone_is_said_and_retryable(plane: Plane, api: httpx.AsyncClient) -> None:
    await plane.house.close()
    assert is_error(await api.get("/access-keys"), 503, "gateway_unavailable")


async def test_a_bug_is_an_error_without_a_traceback(plane: Plane, api: httpx.AsyncClient) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret detail")

    plane.app._app = broken
    answer = await api.get("/access-keys")
    assert is_error(answer, 500, "internal_error")
    assert "secret detail" not in answer.text


async def test_errors_never_repeat_a_value(api: httpx.AsyncClient) -> None:
    secret = "sk-canary-in-an-error"
    for body in ({"providerId": "openai", "value": [secret]}, {"providerId": [secret], "value": secret}, {secret: 1}):
        answer = await api.post("/provider-keys", json=body)
        assert answer.status_code == 400
        if secret not in json.dumps(list(body)):
            assert secret not in answer.text
