"""`tollway up` as a process of its own, the way a stranger starts it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import openai
import psutil

from tests.conftest import free_port
from tollway.bus.nats import NatsBus, connect
from tollway.wire import subjects
from tollway.wire.queries import Balance, GetBalance

READY_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 45.0
KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours without providers' keys: the simulator is the provider."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | dict(extra)


def until(is_so: Callable[[], bool], *, within_s: float = 20.0) -> None:
    """Wait for something that happens in other processes."""
    give_up = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up, "did not happen in time"
        time.sleep(0.02)


class Gateway:
    """One data directory and the `tollway up` that runs on it."""

    def __init__(self, root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.data = root / "data"
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.log = root / "up.log"
        self._arguments = arguments
        self._environment = clean_environment(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[openai.OpenAI] = []

    # -- its life

    def start(self) -> "Gateway":
        """Start and wait until it says that it is ready."""
        with self.log.open("ab") as log:
            begun = log.tell()
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self._environment)
        process, give_up = self._process, time.monotonic() + READY_WITHIN_S
        while b"ready on" not in self.said()[begun:]:
            if process.poll() is not None or time.monotonic() > give_up:
                self.close()
                raise AssertionError(self.last_words())
            time.sleep(0.02)
        return self

    def last_words(self) -> str:
        """What a start that failed left: its own lines and the ends of the logs."""
        logs = sorted((self.data / "logs").glob("*.log"))
        ends = [f"-- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-6:]) for path in logs]
        return "\n".join([self.said().decode(errors="replace")[-2000:], *ends])

    def command(self) -> list[str]:
        """What a person would type."""
        tollway = [sys.executable, "-m", "tollway.cli"]
        return [*tollway, "up", "--data", str(self.data), "--port", str(self.port), *self._arguments]

    def said(self) -> bytes:
        """All that it printed."""
        return self.log.read_bytes() if self.log.exists() else b""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end, wait, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(END_WITHIN_S)
        self._process = None
        return code

    def close(self) -> None:
        """End it whatever it does."""
        for client in self._clients:
            client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def process(self) -> psutil.Process:
        """The process of `tollway up`; the services are its children."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def service(self, name: str) -> psutil.Process:
        """The process of one service, once it runs."""
        until(lambda: bool(self.named(name)))
        return self.named(name)[0]

    def named(self, name: str) -> list[psutil.Process]:
        """All processes of one service."""
        return [child for child in self.process.children() if self.name_of(child) == name]

    @staticmethod
    def name_of(child: psutil.Process) -> str:
        """`python -m tollway.adapter` is the adapter, `nats-server …` is nats."""
        try:
            words = child.cmdline()
        except psutil.NoSuchProcess:
            return ""
        module = next((word for word in words if word.startswith("tollway.")), "")
        if module:
            return module.removeprefix("tollway.")
        return "nats" if words and words[0].endswith("nats-server") else ""

    # -- talking to it

    @property
    def credentials(self) -> dict[str, str]:
        """What the first start made."""
        return json.loads((self.data / "credentials.json").read_text())

    @property
    def ports(self) -> dict[str, int]:
        """Ports of the inside."""
        return json.loads((self.data / "tollway.json").read_text())["ports"]

    def client(self, **options: Any) -> openai.OpenAI:
        """A stock client, closed with the gateway."""
        told = {"base_url": f"{self.base_url}/v1", "api_key": self.credentials["accessKey"], "max_retries": 0}
        self._clients.append(openai.OpenAI(**(told | options)))
        return self._clients[-1]

    def api(self, path: str) -> Any:
        """A GET of the management plane, again for as long as it says that a service is not there."""
        give_up = time.monotonic() + END_WITHIN_S
        while True:
            status, body = self.get(f"/api{path}", key=self.credentials["apiKey"])
            if status != 503 or time.monotonic() > give_up:
                assert status == 200, (status, body)
                return json.loads(body)
            time.sleep(0.05)

    def post(self, path: str, body: Mapping[str, Any], *, key: str = "") -> Any:
        """A POST to the management plane, with the first account's API key or another."""
        headers = {
            "Authorization": f"Bearer {key or self.credentials['apiKey']}",
            "Content-Type": "application/json",
        }
        request = urllib.request.Request(f"{self.base_url}/api{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def tally(self) -> dict[str, Any]:
        """What the simulator says that it served."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['simulator']}/_sim/tally", timeout=10) as answer:
            return json.load(answer)["totals"]

    def get(self, path: str, *, key: str = "") -> tuple[int, bytes]:
        """A GET of anything: status and body."""
        request = urllib.request.Request(
            self.base_url + path, headers={"Authorization": f"Bearer {key}"} if key else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def usage(self, count: int) -> list[dict[str, Any]]:
        """Usage rows, oldest first, once there are so many (settling is a moment behind the answer)."""
        query = "/usage?startTime=2020-01-01T00:00:00Z&includeRetries=true"
        until(lambda: len(self.api(query)["aiGatewayUsage"]) >= count)
        return list(reversed(self.api(query)["aiGatewayUsage"]))

    def balance_nusd(self) -> int:
        """What is not spent, to the nano-dollar, asked of the ledger itself."""
        return asyncio.run(self._balance_nusd())

    async def _balance_nusd(self) -> int:
        state = json.loads((self.data / "tollway.json").read_text())
        url, password = f"nats://127.0.0.1:{state['ports']['nats']}", state["passwords"]["cli"]
        bus = await connect(url, role="cli", node="cli-test", user="cli", password=password)
        try:
            return await _balance_nusd(bus, self.credentials["accountId"])
        finally:
            await bus.drain()

    def request(self, request_id: str) -> dict[str, Any]:
        """The attempts of a request, once it is settled."""
        path = f"/usage/requests/{request_id}"
        until(lambda: self.get(f"/api{path}", key=self.credentials["apiKey"])[0] == 200)
        return self.api(path)


async def _balance_nusd(bus: NatsBus, account_id: str) -> int:
    give_up = time.monotonic() + END_WITHIN_S
    while True:
        balance = await bus.ask(subjects.LEDGER_QUERY, GetBalance(account_id), Balance, timeout_s=5)
        if isinstance(balance, Balance):
            return balance.available_nusd + balance.held_nusd
        assert balance.rule.is_retryable, balance
        assert time.monotonic() < give_up, balance
        await asyncio.sleep(0.05)


def cost_nusd(rows: list[dict[str, Any]]) -> int:
    """The sum of the rows' costs in nano-dollars."""
    return int(sum(Decimal(row["totalCost"]) for row in rows) * 1_000_000_000)
