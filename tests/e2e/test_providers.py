"""Providers come from the operator's environment, and their keys go to the adapter alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.e2e.gateway import cost_nusd

HELLO = [{"role": "user", "content": "Hello, Tollway!"}]
KEY = "sk-canary-of-the-operator"
PRICES = {"openai": {"models": {"echo": {"name": "Echo", "cost": {"input": "1", "output": "2"}}}}}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A provider on loopback that speaks as OpenAI does: the simulator by itself."""
    command = [sys.executable, "-m", "tollway.cli", "simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


def test_a_key_in_the_environment_is_a_managed_credential_and_no_other_process_sees_it(
    fresh: Start, provider: str, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps(PRICES))
    told = {"OPENAI_API_KEY": KEY, "TOLLWAY_OPENAI_BASE_URL": provider, "TOLLWAY_CATALOG_FILE": str(prices)}
    gateway = fresh(environment=told).start()
    answer = gateway.client().chat.completions.with_raw_response.create(model="openai:echo", messages=HELLO)
    assert answer.headers["tollway-model"] == "openai:echo"
    assert answer.parse().choices[0].message.content == "Hello, Tollway!"
    rows = gateway.usage(1)
    assert (rows[0]["provider"], rows[0]["keySource"]) == ("openai", "ngrok")
    assert cost_nusd(rows) > 0
    named = {gateway.name_of(child): child for child in gateway.process.children()}
    assert set(named) == {"nats", "auth", "ledger", "router", "adapter", "ingress"}
    assert [name for name, child in named.items() if "OPENAI_API_KEY" in child.environ()] == ["adapter"]
    logs = [path.read_text(errors="replace") for path in (gateway.data / "logs").iterdir()]
    assert not [text for text in logs if KEY in text]
