"""`docker compose up` for real, under a project name and ports of its own."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.compose.conftest import ROOT
from tests.conftest import free_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


class Containers:
    """A compose project."""

    def __init__(self) -> None:
        self.port = free_port()
        ports = {"TOLLWAY_PORT": self.port, "JAEGER_PORT": free_port(), "PROMETHEUS_PORT": free_port()}
        self._environment = {**os.environ, **{name: str(port) for name, port in ports.items()}}

    def run(self, *arguments: str) -> str:
        command = ["docker", "compose", "--project-name", "tollway-test", *arguments]
        ended = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=800, check=False
        )
        assert ended.returncode == 0, ended.stderr[-4000:]
        return ended.stdout

    @property
    def credentials(self) -> dict[str, str]:
        return json.loads(self.run("exec", "-T", "auth", "cat", "/credentials/credentials.json"))

    def api(self, path: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api{path}",
            headers={"Authorization": f"Bearer {self.credentials['apiKey']}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def containers(engine: None) -> Iterator[Containers]:
    project = Containers()
    project.run("down", "--volumes")
    project.run("up", "--build", "--detach", "--wait")
    yield project
    project.run("down", "--volumes")


def ask(containers: Containers) -> str:
    address = f"http://127.0.0.1:{containers.port}/v1"
    with openai.OpenAI(base_url=address, api_key=containers.credentials["accessKey"], max_retries=0) as client:
        answer = client.chat.completions.create(
            model="simulator:fail-503",
            extra_body={"models": ["simulator:echo"]},
            messages=[{"role": "user", "content": "Hello, Tollway!"}],
        )
    return answer.choices[0].message.content or ""


def test_the_first_request_works_and_falls_back(containers: Containers) -> None:
    assert ask(containers) == "Hello, Tollway!"


def test_the_credit_is_there(containers: Containers) -> None:
    transactions = containers.api("/credits/transactions")["items"]
    assert [item["amountCents"] for item in transactions if item["type"] == "credits"] == [1000]


def test_the_doctor_finds_everything_well(containers: Containers) -> None:
    assert "0 failed" in containers.run("run", "--rm", "-T", "cli", "tollway", "doctor")


def test_what_was_made_survives_the_containers(containers: Containers) -> None:
    credentials = containers.credentials
    containers.run("down")
    containers.run("up", "--detach", "--wait")
    assert containers.credentials == credentials
    assert ask(containers) == "Hello, Tollway!"


def test_the_adapter_alone_has_the_key_that_opens_provider_keys(containers: Containers) -> None:
    secrets = {name: containers.run("exec", "-T", name, "ls", "/run/tollway").split() for name in ("adapter", "auth")}
    assert "master.key" in secrets["adapter"]
    assert "master.key" not in secrets["auth"]


def test_the_bus_cannot_be_reached_from_this_machine(containers: Containers) -> None:
    ports = containers.run("ps", "--format", "json")
    assert "4222->" not in ports
    assert "5432->" not in ports
