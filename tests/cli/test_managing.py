"""The commands over `/api`, against a real management plane on a socket."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.auth.conftest import environ  # noqa: F401  a fixture
from tests.management.conftest import Ledger
from tests.management.live import Live, live_plane
from tollway.cli.__main__ import _mount, app
from tollway.cli.errors import CommandError
from tollway.cli.remote import at, where
from tollway.cli.usage import moment
from tollway.wire import queries as q

SECRET = "sk-proj-canary-0123456789"
_mount([])


class Terminal:
    """Somebody at a terminal."""

    def __init__(self, live: Live, ledger: Ledger, variables: dict[str, str]) -> None:
        self.live = live
        self.ledger = ledger
        self.variables = variables

    def run(self, *words: str, typed: str = "") -> str:
        result = CliRunner().invoke(app, words, env=self.variables, input=typed)
        if isinstance(result.exception, CommandError):
            raise result.exception
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    def read(self, *words: str, typed: str = "") -> Any:
        return json.loads(self.run(*words, "--json", typed=typed))

    def refused(self, *words: str) -> CommandError:
        with pytest.raises(CommandError) as caught:
            self.run(*words)
        return caught.value


@pytest.fixture
def terminal(environ: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:  # noqa: F811  the fixture
    ledger = Ledger()
    with live_plane({**environ, "TOLLWAY_DEV_PAYMENTS": "1"}, ledger) as live:
        told = {"TOLLWAY_URL": live.url.removesuffix("/api"), "TOLLWAY_API_KEY": live.made.api_key, "COLUMNS": "300"}
        files = {
            "TOLLWAY_MASTER_KEY_FILE": str(tmp_path / "master.key"),
            "TOLLWAY_MASTER_PUBLIC_KEY_FILE": str(tmp_path / "master.pub"),
        }
        yield Terminal(live, ledger, told | files)


def test_a_key_is_made_limited_listed_and_revoked(terminal: Terminal) -> None:
    made = terminal.read("keys", "create", "--name", "app", "--requests-per-minute", "60", "--spend-per-day", "2.50")
    assert made["token"].startswith("tw-")
    assert made["limits"]["spendPerDay"] == "2.5"
    table = terminal.run("keys", "list").splitlines()
    assert table[0].split()[:3] == ["ID", "NAME", "KEY"]
    assert made["id"] in table[1]
    assert made["token"] not in terminal.run("keys", "show", made["id"])
    changed = terminal.read("keys", "update", made["id"], "--disable", "--name", "null")
    assert (changed["enabled"], changed["name"], changed["limits"]["requestsPerMinute"]) == (False, None, 60)
    assert "deleted" in terminal.run("keys", "delete", made["id"])
    assert "No such resource" in str(terminal.refused("keys", "show", made["id"]))


def test_a_provider_key_never_goes_through_the_arguments(terminal: Terminal) -> None:
    made = terminal.read("provider-keys", "create", "openai", "--name", "ours", typed=f"{SECRET}\n")
    assert made["keyRedacted"] == "sk-proj-ca***6789"
    rotated = terminal.read("provider-keys", "rotate", made["id"], typed="sk-proj-second-0123456789\n")
    assert rotated["id"] == made["id"]
    assert SECRET not in terminal.run("provider-keys", "list")
    assert "No key given" in str(terminal.refused("provider-keys", "create", "openai"))


def test_a_configuration_takes_its_rules_from_a_file(terminal: Terminal, tmp_path: Path) -> None:
    router = tmp_path / "router.json"
    router.write_text('{"rules": [{"provider": "openai", "steps": [{"type": "managed"}]}]}')
    made = terminal.read("configs", "create", "app", "--provider", "openai", "--router", str(router))
    assert made["access"] == {"providers": {"allow": ["openai"]}}
    assert made["router"]["rules"][0]["steps"][0]["type"] == "managed"
    key = terminal.read("keys", "create", "--config", made["id"])
    refusal = terminal.refused("configs", "delete", made["id"])
    assert key["id"] in str(refusal)
    assert refusal.exit_code == 2
    options = (
        "--connect-timeout",
        "2s",
        "--strategy",
        "cheapest",
        "--retry-same-candidate",
        "never",
        "--rescue-streams",
    )
    changed = terminal.read("configs", "settings", *options)
    words = ("connectTimeout", "strategy", "retrySameCandidate", "rescueStreams")
    assert [changed[word] for word in words] == ["2s", "cheapest", "never", True]
    terminal.read("configs", "settings", *options[:2], "--strategy", "ordered", "--no-rescue-streams")
    settings = terminal.read("configs", "settings", "--total-timeout", "45s", "--max-input-tokens", "1000")
    assert (settings["totalTimeout"], settings["maxInputTokens"]) == ("45s", 1000)


def test_a_model_server_is_added_tried_and_taken_away(terminal: Terminal) -> None:
    made = terminal.read(
        "providers", "create", "box", "--base-url", "https://box.example/v1", "--model", "llama3.2",
        "--surface", "openai/chat-completions",
    )  # fmt: skip
    assert made["models"][0]["modelId"] == "llama3.2"
    result = CliRunner().invoke(app, ["providers", "test", made["id"]], env=terminal.variables)
    assert (result.exit_code, "no address" in result.stdout) == (1, True)
    terminal.run("providers", "delete", made["id"])
    assert "box.example" not in terminal.run("providers", "list")


def test_operators_make_accounts_and_give_credit(terminal: Terminal) -> None:
    made = terminal.read("accounts", "create", "customer")
    assert made["apiKey"]["token"].startswith("twapi-")
    granted = terminal.read("credits", "grant", made["id"], "12.50", "--reason", "welcome", "--reference", "r1")
    assert (granted["amountCents"], granted["reference"]) == (1250, "r1")
    assert terminal.read("accounts", "update", made["id"], "--disable")["enabled"] is False
    terminal.run("accounts", "set-managed", "groq", typed=f"{SECRET}\n")
    assert "groq" in terminal.run("accounts", "managed")
    assert "whole number of cents" in str(terminal.refused("credits", "grant", made["id"], "0.001"))


def test_balance_usage_and_models_are_tables_for_people(terminal: Terminal) -> None:
    terminal.ledger.answers = {
        "GetBalance": q.Balance(9_990_000_000, 0, 0),
        "ListTransactions": q.TransactionList([q.Transaction("t1", "credits", 10**10, 0, "promotional")]),
        "GetOverview": q.Overview([q.Bucket(0, "openai", 1_500_000_000, 3, 1)], 1_500_000_000, 3, 1),
    }
    assert "$9.99" in terminal.run("credits", "balance")
    assert "promotional" in terminal.run("credits", "transactions")
    overview = terminal.run("usage", "overview").splitlines()
    assert overview[1].split() == ["1970-01-01T00:00:00Z", "openai", "3", "1", "1.5"]
    assert overview[2].split() == ["total", "3", "1", "1.5"]
    assert "openai:gpt-4o" in terminal.run("models", "list", "--search", "GPT")
    assert terminal.read("credits", "buy", "5")["sessionUrl"].startswith("http")


def test_the_master_key_is_rotated_and_every_key_follows(terminal: Terminal) -> None:
    for n in range(3):
        terminal.read("provider-keys", "create", "openai", "--name", f"k{n}", typed=f"{SECRET}\n")
    assert "version 2" in terminal.run("keys", "rotate-master")
    assert terminal.run("keys", "rewrap").startswith("3 keys")
    assert terminal.run("keys", "rewrap").startswith("0 keys")


def test_what_is_wrong_is_one_sentence_and_what_to_do(terminal: Terminal, tmp_path: Path) -> None:
    bad = {**terminal.variables, "TOLLWAY_API_KEY": "nonsense"}
    assert "TOLLWAY_API_KEY" in str(Terminal(terminal.live, terminal.ledger, bad).refused("keys", "list"))
    nobody = {**terminal.variables, "TOLLWAY_URL": "http://127.0.0.1:9"}
    assert "No gateway answers" in str(Terminal(terminal.live, terminal.ledger, nobody).refused("keys", "list"))
    with pytest.raises(CommandError, match="TOLLWAY_URL"):
        where({"TOLLWAY_DATA_DIR": str(tmp_path / "nothing")})
    refusal = terminal.refused("providers", "create", "openai", "--base-url", "http://x")
    assert "providerId" in str(refusal)


def test_credentials_of_a_local_gateway_are_found(tmp_path: Path) -> None:
    found = {"apiUrl": "http://127.0.0.1:8080/api", "apiKey": "twapi-x"}
    (tmp_path / "credentials.json").write_text(json.dumps(found))
    assert where({"TOLLWAY_DATA_DIR": str(tmp_path)}) == ("http://127.0.0.1:8080/api", "twapi-x")
    far = {"TOLLWAY_DATA_DIR": str(tmp_path), "TOLLWAY_URL": "https://gw.example/", "TOLLWAY_API_KEY": "twapi-y"}
    assert where(far) == ("https://gw.example/api", "twapi-y")


def test_the_local_key_is_sent_to_no_other_gateway(tmp_path: Path) -> None:
    found = {"apiUrl": "http://127.0.0.1:8080/api", "apiKey": "twapi-x"}
    (tmp_path / "credentials.json").write_text(json.dumps(found))
    here = {"TOLLWAY_DATA_DIR": str(tmp_path)}
    assert where({**here, "TOLLWAY_URL": "http://127.0.0.1:8080/"})[1] == "twapi-x"
    with pytest.raises(CommandError, match="is not sent to"):
        where({**here, "TOLLWAY_URL": "https://gw.example"})


@pytest.mark.parametrize("url", ["not a url", "gw.example:8080", "ftp://gw.example", "http://", "http://[::1", "/api"])
def test_an_address_that_is_none_is_said(url: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not an address such as"):
        where({"TOLLWAY_DATA_DIR": str(tmp_path), "TOLLWAY_URL": url, "TOLLWAY_API_KEY": "twapi-x"})


def test_a_key_that_no_header_can_carry_is_said_and_one_with_a_line_end_is_taken(tmp_path: Path) -> None:
    told = {"TOLLWAY_DATA_DIR": str(tmp_path), "TOLLWAY_URL": "https://gw.example"}
    assert where({**told, "TOLLWAY_API_KEY": "twapi-x\n"})[1] == "twapi-x"
    for key in ("schlüssel", "twapi\nx"):
        with pytest.raises(CommandError, match="no key has"):
            where({**told, "TOLLWAY_API_KEY": key})


@pytest.mark.parametrize("id_", ["../api-keys", "..", "a/b", "x?limit=1", "x#y", "", "ü"])
def test_an_id_is_one_segment_of_an_address(id_: str) -> None:
    with pytest.raises(CommandError, match="is not an id"):
        at("/access-keys", id_)


def test_a_while_ago_is_a_time_and_nonsense_is_none() -> None:
    assert moment("2026-01-01T00:00:00Z") == "2026-01-01T00:00:00Z"
    assert moment("24h").endswith("Z")
    with pytest.raises(CommandError):
        moment("yesterday")


def test_an_operator_who_lost_the_key_gets_another_from_the_database(terminal: Terminal, tmp_path: Path) -> None:
    told = {**terminal.variables, "TOLLWAY_DATA_DIR": str(tmp_path)}
    made = Terminal(terminal.live, terminal.ledger, told).read("accounts", "recover")
    assert made["accountId"] == terminal.live.made.account_id
    again = Terminal(terminal.live, terminal.ledger, {**told, "TOLLWAY_API_KEY": made["apiKey"]})
    for _ in range(100):
        try:
            assert len(again.read("api-keys", "list")) == 2
            return
        except CommandError:
            time.sleep(0.05)
    raise AssertionError("auth did not see the new key")
