"""Rows of providers, and how the operator's environment opens them."""

from pathlib import Path

import msgspec
import pytest

from tollway.dialects.addresses import (
    address_of,
    auth_headers,
    auth_query,
    credential_of,
    managed,
    normal_url,
    variable,
)
from tollway.dialects.built_in import ANTHROPIC, BUILT_IN, OPENAI
from tollway.dialects.providers import Listed, dialect_for, row_of_candidate, row_of_listed, rows_of
from tollway.dialects.rows import ProviderRow, output_limit_param, refused_params
from tollway.listing.read import load_rows
from tollway.wire.plan import Candidate, DialectName, Surface

ROWS = load_rows({})


def row(**fields: object) -> ProviderRow:
    return msgspec.structs.replace(ProviderRow("x", "X", "https://x.example/v1", OPENAI), **fields)


def test_every_provider_of_the_product_has_a_row() -> None:
    named = "openai anthropic google groq deepseek openrouter hyperbolic inceptionlabs inference-net moonshotai zai"
    assert [*named.split(), "simulator"] == [row.id for row in BUILT_IN[:12]]


def test_every_listed_provider_with_a_compatible_address_has_a_row() -> None:
    assert len(ROWS) > 100
    assert ROWS["fireworks-ai"].base_url == "https://api.fireworks.ai/inference/v1"
    assert ROWS["minimax"].dialects["messages"] == "anthropic_messages"
    assert "amazon-bedrock" not in ROWS


def test_every_address_is_https_and_ends_without_a_slash() -> None:
    wrong = [row.id for row in ROWS.values() if row.base_url and not row.base_url.startswith("https://")]
    assert wrong == []
    assert [row.id for row in ROWS.values() if row.base_url.endswith("/")] == []


def test_no_variable_opens_two_providers() -> None:
    names = [name for row in ROWS.values() for name in row.env]
    assert sorted(names) == sorted(set(names))


def test_a_token_that_is_not_meant_for_us_opens_nothing() -> None:
    assert managed(ROWS.values(), {"GITHUB_TOKEN": "x", "HF_TOKEN": "x", "DATABRICKS_TOKEN": "x"}) == {}


def test_customary_variables_open_providers() -> None:
    environ = {"OPENAI_API_KEY": "k1", "GEMINI_API_KEY": "k2", "ZHIPU_API_KEY": "k3", "GROQ_API_KEY": " "}
    assert {name: way.credential for name, way in managed(ROWS.values(), environ).items()} == {
        "openai": "k1",
        "google": "k2",
        "zai": "k3",
    }


def test_tollways_own_variables_win() -> None:
    environ = {
        "OPENAI_API_KEY": "theirs",
        "TOLLWAY_OPENAI_API_KEY": "ours",
        "TOLLWAY_INFERENCE_NET_API_KEY": "net",
        "TOLLWAY_OPENAI_BASE_URL": "http://127.0.0.1:9000/v1/",
    }
    found = managed(ROWS.values(), environ)
    assert (found["openai"].credential, found["openai"].base_url) == ("ours", "http://127.0.0.1:9000/v1")
    assert found["inference-net"].base_url == "https://api.inference.net/v1"


def test_the_simulator_is_open_as_soon_as_it_has_an_address() -> None:
    assert managed(ROWS.values(), {}) == {}
    found = managed(ROWS.values(), {"TOLLWAY_SIMULATOR_BASE_URL": "http://127.0.0.1:7000"})
    assert found["simulator"].base_url == "http://127.0.0.1:7000/v1"


def test_an_address_with_a_variable_needs_it() -> None:
    assert address_of(ROWS["azure"], {}) == ""
    assert address_of(ROWS["azure"], {"AZURE_RESOURCE_NAME": "acme"}) == "https://acme.openai.azure.com/openai/v1"
    assert "azure" not in managed(ROWS.values(), {"AZURE_API_KEY": "k"})


def test_a_credential_does_not_show_in_a_repr() -> None:
    found = managed(ROWS.values(), {"OPENAI_API_KEY": "sk-secret"})
    assert "sk-secret" not in repr(found)


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "TOLLWAY_OPENAI_API_KEY"),
        ("wafer.ai", "TOLLWAY_WAFER_AI_API_KEY"),
        ("302ai", "TOLLWAY_302AI_API_KEY"),
    ],
)
def test_variables_are_named_after_the_provider(provider: str, name: str) -> None:
    assert variable(provider, "API_KEY") == name
    assert credential_of(row(id=provider), {name: "k"}) == "k"


@pytest.mark.parametrize(
    ("written", "dialects", "meant"),
    [
        ("http://localhost:11434", OPENAI, "http://localhost:11434/v1"),
        ("http://localhost:11434/v1/", OPENAI, "http://localhost:11434/v1"),
        ("https://h.example/v1/chat/completions", OPENAI, "https://h.example/v1"),
        ("https://h.example/api/openai", OPENAI, "https://h.example/api/openai"),
        ("https://api.anthropic.com", ANTHROPIC, "https://api.anthropic.com/v1"),
        ("https://h.example/anthropic", ANTHROPIC, "https://h.example/anthropic/v1"),
        ("https://h.example/anthropic/v1/messages", ANTHROPIC, "https://h.example/anthropic/v1"),
        ("http://127.0.0.1:9", {"chat": "gemini"}, "http://127.0.0.1:9/v1beta"),
        ("http://127.0.0.1:9/v1beta", {"chat": "gemini"}, "http://127.0.0.1:9/v1beta"),
        ("", OPENAI, ""),
    ],
)
def test_addresses_are_understood_as_people_write_them(
    written: str, dialects: dict[Surface, DialectName], meant: str
) -> None:
    assert normal_url(written, dialects) == meant


@pytest.mark.parametrize(
    ("auth", "headers", "query"),
    [
        ("bearer", {"authorization": "Bearer k"}, {}),
        ("x-api-key", {"x-api-key": "k"}, {}),
        ("api-key", {"api-key": "k"}, {}),
        ("x-goog-api-key", {"x-goog-api-key": "k"}, {}),
        ("query-key", {}, {"key": "k"}),
        ("none", {}, {}),
    ],
)
def test_a_credential_goes_where_the_provider_wants_it(
    auth: str, headers: dict[str, str], query: dict[str, str]
) -> None:
    assert auth_headers(row(auth=auth), "k") == headers
    assert auth_query(row(auth=auth), "k") == query
    assert auth_headers(row(auth=auth), "") == {}


def test_reasoning_models_of_openai_lose_what_they_refuse_and_chat_models_do_not() -> None:
    openai = ROWS["openai"]
    assert "temperature" in refused_params(openai, "gpt-5-mini")
    assert "temperature" in refused_params(openai, "o3")
    assert refused_params(openai, "gpt-5-chat-latest") == frozenset()
    assert refused_params(openai, "gpt-4o") == frozenset()
    assert output_limit_param(openai, "gpt-5-mini") == "max_completion_tokens"
    assert output_limit_param(ROWS["deepseek"], "deepseek-chat") == output_limit_param(ROWS["poe"], "m") == "max_tokens"
    assert dialect_for(openai, "chat", "gpt-5.1-codex-mini") == "openai_responses"
    assert dialect_for(openai, "chat", "gpt-5-mini") == "openai_chat"


def test_a_listed_provider_of_an_unknown_kind_has_no_row() -> None:
    assert row_of_listed(Listed("b", "B", "@ai-sdk/amazon-bedrock", "https://b.example")) is None


def test_an_address_on_the_operators_own_machine_is_not_taken_from_the_list() -> None:
    rows = rows_of([Listed("lm", "LM", "@ai-sdk/openai-compatible", "http://127.0.0.1:1234/v1", ("LM_API_KEY",))])
    assert rows["lm"].base_url == ""
    assert managed([rows["lm"]], {"LM_API_KEY": "k"}) == {}
    opened = managed([rows["lm"]], {"LM_API_KEY": "k", "TOLLWAY_LM_BASE_URL": "http://127.0.0.1:1234/v1"})
    assert opened["lm"].base_url == "http://127.0.0.1:1234/v1"


def candidate(base_url: str, dialect: DialectName = "openai_chat", credential_id: str = "aigpk_1") -> Candidate:
    return Candidate("own", "Own", "m", "m", "m", dialect, credential_id, is_managed=False, base_url=base_url)


@pytest.mark.parametrize(
    ("given", "base_url", "query", "auth"),
    [
        (candidate("http://localhost:11434", credential_id=""), "http://localhost:11434/v1", "", "none"),
        (candidate("https://vllm.example/v1"), "https://vllm.example/v1", "", "bearer"),
        (candidate("https://h.example", "anthropic_messages"), "https://h.example/v1", "", "x-api-key"),
        (
            candidate("https://acme.openai.azure.com/openai/deployments/gpt-4o?api-version=2024-10-21"),
            "https://acme.openai.azure.com/openai/deployments/gpt-4o",
            "?api-version=2024-10-21",
            "api-key",
        ),
    ],
)
def test_a_custom_provider_gets_its_row_from_the_candidate(
    given: Candidate, base_url: str, query: str, auth: str
) -> None:
    made = row_of_candidate(given)
    assert (made.base_url, made.query, made.auth) == (base_url, query, auth)


def test_the_documentation_shows_every_built_in_provider_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    shown = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 6]
    cells = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in shown]
    assert [cell[:4] for cell in cells] == [
        [made.id, made.name, made.base_url or "none", ", ".join(dict.fromkeys(made.dialects.values()))]
        for made in BUILT_IN
    ]
    assert [cell[4].replace("`", "") for cell in cells] == [", ".join(made.env) or "none" for made in BUILT_IN]
