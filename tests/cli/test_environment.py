"""Who is told what: the adapter alone sees providers' keys."""

import pytest

from tollway.cli.environment import environment_of
from tollway.cli.providers import is_simulator_wanted

BASE = {
    "PATH": "/bin",
    "LC_ALL": "C",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318",
    "TOLLWAY_LOG_LEVEL": "info",
    "OPENAI_API_KEY": "sk-canary",
    "TOLLWAY_GROQ_API_KEY": "gsk-canary",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "TOLLWAY_MASTER_KEY": "canary",
    "TOLLWAY_PEPPER": "canary",
    "TOLLWAY_API_KEY": "twapi-canary",
    "TOLLWAY_DATABASE_URL": "postgresql://user:canary@db/tollway",
    "TOLLWAY_STRIPE_API_KEY": "canary",
}
SECRETS = {
    "adapter": {"OPENAI_API_KEY", "TOLLWAY_GROQ_API_KEY", "AWS_SECRET_ACCESS_KEY", "TOLLWAY_MASTER_KEY"},
    "ingress": {"TOLLWAY_STRIPE_API_KEY"},
    "auth": {"TOLLWAY_DATABASE_URL", "TOLLWAY_PEPPER"},
    "ledger": {"TOLLWAY_DATABASE_URL"},
    "router": set[str](),
    "nats": set[str](),
    "simulator": set[str](),
}


@pytest.mark.parametrize("role", SECRETS)
def test_a_role_sees_its_own_secrets_and_no_others(role: str) -> None:
    seen = environment_of(role, BASE, {})
    assert {name for name, value in seen.items() if "canary" in value} == SECRETS[role]


@pytest.mark.parametrize("role", SECRETS)
def test_every_role_sees_what_is_no_secret_and_what_it_is_told(role: str) -> None:
    seen = environment_of(role, BASE, {"TOLLWAY_NATS_USER": role, "PATH": "/elsewhere"})
    assert seen["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4318"
    assert (seen["TOLLWAY_NATS_USER"], seen["PATH"], seen["LC_ALL"]) == (role, "/elsewhere", "C")


@pytest.mark.parametrize(
    ("environ", "is_wanted"),
    [
        ({}, True),
        ({"OPENAI_API_KEY": ""}, True),
        ({"OPENAI_API_KEY": "sk-1"}, False),
        ({"TOLLWAY_NEWCOMER_API_KEY": "1"}, False),
        ({"TOLLWAY_OLLAMA_BASE_URL": "http://127.0.0.1:11434"}, False),
        ({"OPENAI_API_KEY": "sk-1", "TOLLWAY_SIMULATOR": "1"}, True),
        ({"TOLLWAY_SIMULATOR": "0"}, False),
        ({"TOLLWAY_STRIPE_API_KEY": "sk-1"}, True),
        ({"TOLLWAY_SIMULATOR_BASE_URL": "http://127.0.0.1:9090"}, False),
    ],
)
def test_the_simulator_stands_in_when_there_is_no_provider(environ: dict[str, str], is_wanted: bool) -> None:
    assert is_simulator_wanted(environ) is is_wanted
