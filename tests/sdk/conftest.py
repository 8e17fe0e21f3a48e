"""One gateway whose providers speak each one dialect only; behind all of them is the simulator."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import anthropic
import openai
import pytest

from tests.e2e.gateway import Gateway, cost_nusd, until
from tollway.wire.plan import DialectName

HOUSES: Final[dict[DialectName, str]] = {
    "openai_chat": "chat-house",
    "openai_responses": "responses-house",
    "anthropic_messages": "messages-house",
    "gemini": "google",
}
"""The provider that speaks a dialect and no other that chats. Gemini's has to be the built-in one: the price list
cannot describe another."""

_NPM: Final = {
    "chat-house": "@ai-sdk/openai-compatible",
    "responses-house": "@ai-sdk/openai",
    "messages-house": "@ai-sdk/anthropic",
}
_PATHS: Final = {"google": "/v1beta"}
_COST: Final = {"input": "1", "output": "2", "cache_read": "0.1", "cache_write": "1.25"}
_MODEL: Final = {
    "tool_call": True,
    "structured_output": True,
    "attachment": True,
    "modalities": {"input": ["text", "image"], "output": ["text"]},
    "limit": {"context": 128_000, "output": 16_384},
    "cost": _COST,
}
_CHATTING: Final = ("echo", "slow", "fail-filter", "fail-cut", "fail-error-in-stream")
_FAILING: Final = tuple(f"fail-{name}" for name in (400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529, "context"))

OWN: Final[dict[DialectName, tuple[str, str, str]]] = {
    "openai_chat": ("openai", "chat-completions", "/v1"),
    "openai_responses": ("openai", "responses", "/v1"),
    "anthropic_messages": ("anthropic", "messages", "/v1"),
    "gemini": ("gemini", "generate-content", "/v1beta"),
}
"""The account's own provider for each dialect: format, surface, path. It has no key, so its failures are nobody's
health: these are the ones to break."""

every_dialect = pytest.mark.parametrize("dialect", OWN)
every_provider = pytest.mark.parametrize("provider", HOUSES.values(), ids=HOUSES.keys())


def _models() -> dict[str, Any]:
    chatting = {name: {"name": name, **_MODEL} for name in (*_CHATTING, *_FAILING)}
    thinking = {"think": {"name": "think", "reasoning": True, **_MODEL}}
    output = {"modalities": {"input": ["text"], "output": ["embedding"]}, "cost": {"input": "0.1", "output": "0"}}
    return {**chatting, **thinking, "embed": {"name": "embedding", **_MODEL, **output}}


def _catalog() -> dict[str, Any]:
    own = {house: {"name": house, "npm": npm, "api": f"https://{house}.test/v1"} for house, npm in _NPM.items()}
    return {house: {**own.get(house, {}), "models": _models()} for house in HOUSES.values()}


def _environment(simulator: str, catalog: Path) -> dict[str, str]:
    told = {"TOLLWAY_CATALOG_FILE": str(catalog), "TOLLWAY_ALLOW_PRIVATE_CIDRS": "loopback", "TOLLWAY_SIMULATOR": "0"}
    for house in HOUSES.values():
        variable = f"TOLLWAY_{house.upper().replace('-', '_')}"
        told |= {f"{variable}_API_KEY": f"key-of-{house}", f"{variable}_BASE_URL": simulator + _PATHS.get(house, "/v1")}
    return told


class Street:
    """The gateway, the simulator behind its providers, and clients of each make."""

    def __init__(self, gateway: Gateway, simulator: str) -> None:
        self.gateway = gateway
        self.simulator = simulator
        self.key = gateway.credentials["accessKey"]
        self._anthropics: list[anthropic.Anthropic] = []
        self._own: set[str] = set()

    def openai(self, **options: Any) -> openai.OpenAI:
        """A stock OpenAI client."""
        return self.gateway.client(**options)

    def anthropic(self, **options: Any) -> anthropic.Anthropic:
        """A stock Anthropic client, which sends its key as `x-api-key`."""
        told = {"base_url": self.gateway.base_url, "api_key": self.key, "max_retries": 0}
        self._anthropics.append(anthropic.Anthropic(**(told | options)))
        return self._anthropics[-1]

    def own(self, dialect: DialectName) -> str:
        """The id of the account's own provider of this dialect, made when first asked for."""
        provider = f"own-{dialect.replace('_', '-')}"
        if provider not in self._own:
            kind, surface, path = OWN[dialect]
            surfaces = [{"format": kind, "surface": surface}]
            body = {"providerId": provider, "name": provider, "baseUrl": self.simulator + path}
            self.gateway.post("/providers", body | {"supportedApiSurfaces": surfaces})
            self._own.add(provider)
        return provider

    def behave(self, model: str, **outage: Any) -> None:
        """Turn a model bad at every provider."""
        self._control("behaviour", {"model": model, **outage})

    def rows(self, request_ids: list[str]) -> list[dict[str, Any]]:
        """The usage rows of these requests, each attempt, once they are settled."""
        asked = [self.gateway.request(request_id)["attempts"] for request_id in request_ids]
        return [attempt["event"] for attempts in asked for attempt in attempts]

    def close(self) -> None:
        """Close what this made itself."""
        for client in self._anthropics:
            client.close()

    def _control(self, name: str, body: Mapping[str, Any]) -> None:
        request = urllib.request.Request(f"{self.simulator}/_sim/{name}", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()


class Bill:
    """What a few requests cost, by the balance and by the usage rows."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._before = street.gateway.balance_nusd()
        self.request_ids: list[str] = []

    def note(self, headers: Mapping[str, str]) -> None:
        """Remember a request by its answer's headers."""
        self.request_ids.append(headers["tollway-request-id"])

    def settle(self) -> list[dict[str, Any]]:
        """Every attempt's row; the balance has fallen by exactly their sum."""
        rows = self._street.rows(self.request_ids)
        spent = cost_nusd([{"totalCost": row["totalCost"] or 0} for row in rows])
        assert spent > 0
        until(lambda: self._before - self._street.gateway.balance_nusd() == spent, within_s=5)
        return rows


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The address of a provider that speaks every dialect."""
    command = [sys.executable, "-m", "tollway.cli", "simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory, simulator: str) -> Iterator[Street]:
    """The gateway with a provider of each dialect. At the end it drains, and nothing was logged as a crash."""
    root = tmp_path_factory.mktemp("sdk")
    catalog = root / "catalog.json"
    catalog.write_text(json.dumps(_catalog()))
    gateway = Gateway(root, environment=_environment(simulator, catalog)).start()
    street = Street(gateway, simulator)
    yield street
    street.close()
    code = gateway.stop()
    gateway.close()
    logs = {path.name: path.read_text(errors="replace") for path in (gateway.data / "logs").iterdir()}
    assert code == 0
    assert [name for name, text in logs.items() if "Traceback" in text] == []


@pytest.fixture
def bill(street: Street) -> Bill:
    """A bill that begins now."""
    return Bill(street)
