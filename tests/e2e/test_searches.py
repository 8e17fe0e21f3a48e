"""Searches and other tools that a provider bills per use, from the caller's request to the books."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.e2e.gateway import Gateway
from tollway.wire.money import nusd_of_dollars

CENT = 10_000_000
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
FILES = {"type": "file_search", "vector_store_ids": ["vs_1"]}


def post(gateway: Gateway, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    headers = {"x-api-key": gateway.credentials["accessKey"], "Content-Type": "application/json"}
    request = urllib.request.Request(gateway.base_url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def messages(model: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}], "tools": list(tools)}


@pytest.mark.parametrize(("limit", "made"), [({}, 10), ({"max_uses": 3}, 3)])
def test_searches_are_limited_charged_and_in_the_books(gateway: Gateway, limit: dict[str, int], made: int) -> None:
    before = gateway.balance_nusd()
    status, headers, body = post(gateway, "/v1/messages", messages("simulator:echo;searches=99", {**SEARCH, **limit}))
    assert status == 200, body
    assert json.loads(body)["usage"]["server_tool_use"] == {"web_search_requests": made}
    cost = nusd_of_dollars(headers["tollway-cost"])
    assert made * CENT < cost < (made + 1) * CENT
    (attempt,) = gateway.api(f"/usage/requests/{headers['tollway-request-id']}")["attempts"]
    assert (attempt["event"]["webSearches"], attempt["event"]["totalCost"]) == (made, headers["tollway-cost"])
    assert before - gateway.balance_nusd() == cost


@pytest.mark.parametrize(
    ("path", "body", "tool"),
    [
        ("/v1/messages", messages("simulator:echo", CODE), "code_execution"),
        ("/v1/responses", {"model": "simulator:echo", "input": "hi", "tools": [FILES]}, "file_search"),
    ],
)
def test_another_tool_that_is_billed_per_use_is_refused_by_name(
    gateway: Gateway, path: str, body: dict[str, Any], tool: str
) -> None:
    status, _, answer = post(gateway, path, body)
    assert status == 422, answer
    assert f"'{tool}'" in json.loads(answer)["error"]["message"]
    assert "your own provider key" in json.loads(answer)["error"]["message"]
