"""The whole system as processes, with a hand on each of them: kill, stop, continue, die at a named point."""

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from tests.e2e.gateway import Gateway, until
from tollway.bus.nats import NatsBus, connect
from tollway.wire import subjects
from tollway.wire.credit import AdjustBalance, Booked, CreditGranted, GrantCredit, ReverseCredit

RECOVERS_WITHIN_S: Final = 30.0
"""Generous: a service is back within a second or two, and the machine may be busy."""
DRAIN_TIMEOUT_S: Final = 5
NUSD_PER_CENT: Final = 10_000_000
ARMED: Final = "crashpoint"
UNAVAILABLE: Final = 503
OTHERS: Final = ("nats", "simulator")
"""Processes that are not services of ours."""


@dataclass(frozen=True)
class Wallet:
    """An account with the keys to spend from it and to look at it."""

    account_id: str
    api_key: str
    access_key: str


class House(Gateway):
    """`tollway up` on a directory of its own, whose services can be hurt one by one.

    Names are those of the supervisor: `ledger`, or `ledger-1` and `ledger-2` where there are several.
    """

    def __init__(
        self, root: Path, *arguments: str, environment: Mapping[str, str] | None = None, database_url: str = ""
    ) -> None:
        self.database_url = database_url
        self._armed = root / ARMED
        if database_url:
            arguments = (*arguments, "--database-url", database_url)
        told = {"TOLLWAY_CRASHPOINT": f"@{self._armed}"}
        if "PYTHONPATH" in os.environ:
            told["PYTHONPATH"] = os.environ["PYTHONPATH"]
        drain = ("--drain-timeout", str(DRAIN_TIMEOUT_S))
        super().__init__(root, *drain, *arguments, environment=told | dict(environment or {}))
        self._starts: dict[str, int] = {}
        self.faults: list[str] = []
        """What was done to it, in words."""

    @property
    def environment(self) -> dict[str, str]:
        """What its processes are told."""
        return dict(self._environment)

    def begin(self) -> None:
        """Start without waiting until all is well."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self._environment)

    def crash(self) -> None:
        """All of it dies at once, as with the machine."""
        dying = self.process.children()
        self.close()
        psutil.wait_procs(dying, timeout=RECOVERS_WITHIN_S)

    # -- processes

    def members(self) -> dict[str, psutil.Process]:
        """Processes that run now, by the supervisor's name."""
        ports = {str(port): name for name, port in self.state["ports"].items()}
        found: dict[str, psutil.Process] = {}
        for child in self.process.children():
            try:
                found[_name_of(child, ports)] = child
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self.members().items()}

    def kill(self, name: str) -> int:
        """kill -9; the process id that is no more."""
        return self._strike(name, signal.SIGKILL, "kill -9")

    def end(self, name: str) -> int:
        """SIGTERM: it drains and ends, and the supervisor starts another."""
        return self._strike(name, signal.SIGTERM, "SIGTERM")

    def freeze(self, name: str) -> int:
        """SIGSTOP."""
        return self._strike(name, signal.SIGSTOP, "SIGSTOP")

    def thaw(self, pid: int) -> None:
        """SIGCONT, to the process that was frozen."""
        os.kill(pid, signal.SIGCONT)

    def _strike(self, name: str, number: signal.Signals, what: str) -> int:
        pid = self.pid_of(name)
        self._starts[name] = self.starts(name)
        os.kill(pid, number)
        self.faults.append(f"{what} {name}")
        return pid

    def while_down(self, name: str, action: Callable[[], object]) -> None:
        """Kill it, do something, and only then let it be started again."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            dead = psutil.Process(self.kill(name))
            until(lambda: not dead.is_running() or dead.status() == psutil.STATUS_ZOMBIE)
            action()
        finally:
            os.kill(self.process.pid, signal.SIGCONT)
        self.until_replaced(name, dead.pid)

    def until_replaced(self, name: str, pid: int) -> None:
        """Another process than the one with this id serves under the name."""
        until(lambda: self.pids().get(name, pid) != pid, within_s=RECOVERS_WITHIN_S)
        if name not in OTHERS:
            until(lambda: self.starts(name) > self._starts[name], within_s=RECOVERS_WITHIN_S)

    def starts(self, name: str) -> int:
        """How often a service has said that it started: `/readyz` believes the last beat of the dead for a moment."""
        log = self.data / "logs" / f"{name}.log"
        return log.read_bytes().count(b'"service_started"') if log.exists() else 0

    def pid_of(self, name: str) -> int:
        """The process of that name, once there is one."""
        until(lambda: name in self.pids(), within_s=RECOVERS_WITHIN_S)
        return self.pids()[name]

    # -- named crash points

    def arm(self, point: str, *, nth: int = 1) -> None:
        """The service that passes this point for the nth time dies there, once. Its process is started anew for it."""
        self.until_ready()
        self._armed.write_text(f"{point}:{nth}")
        for name in self.names_of(point.partition(".")[0]):
            pid = self._strike(name, signal.SIGKILL, "kill -9")
            self.until_replaced(name, pid)
        self.until_ready()

    def names_of(self, role: str) -> list[str]:
        """The processes of a role."""
        return [name.removeprefix("metrics_") for name in self.state["ports"] if _is_of(name, role)]

    def until_struck(self, point: str) -> None:
        """The armed process has died, and another serves in its place."""
        until(lambda: not self.is_armed, within_s=RECOVERS_WITHIN_S)
        removed_at = self._armed.parent.stat().st_mtime
        names = self.names_of(point.partition(".")[0])
        until(lambda: any(self._started_at(name) > removed_at for name in names), within_s=RECOVERS_WITHIN_S)

    def _started_at(self, name: str) -> float:
        """When the last process of that name said that it started."""
        lines = (self.data / "logs" / f"{name}.log").read_bytes().splitlines()
        said = next(line for line in reversed(lines) if b'"service_started"' in line)
        return datetime.fromisoformat(json.loads(said)["time"]).timestamp()

    @property
    def is_armed(self) -> bool:
        """Whether the blow has yet to fall."""
        return self._armed.exists()

    def disarm(self) -> None:
        """Processes that read it already still die of it."""
        self._armed.unlink(missing_ok=True)

    # -- health

    def missing(self) -> dict[str, str]:
        """What `/readyz` says is not ready; empty: ready."""
        try:
            status, body = self.get("/readyz")
        except (urllib.error.URLError, OSError):
            return {"ingress": "does not answer"}
        return {} if status == 200 else json.loads(body)["notReady"]

    def until_ready(self, *, within_s: float = RECOVERS_WITHIN_S) -> None:
        """Wait until the system has recovered."""
        give_up = time.monotonic() + within_s
        while missing := self.missing():
            assert time.monotonic() < give_up, f"not ready within {within_s:g} s: {missing}"
            time.sleep(0.1)

    # -- money and keys

    @property
    def state(self) -> dict[str, Any]:
        """Ports and passwords."""
        return json.loads((self.data / "tollway.json").read_text())

    def ask(self, method: str, path: str, key: str, body: Mapping[str, Any] | None = None) -> Any:
        """A call of the management plane, again for as long as a service does not answer. Raises HTTPError."""
        give_up = time.monotonic() + RECOVERS_WITHIN_S
        while True:
            try:
                return self._asked(method, path, key, body)
            except urllib.error.HTTPError as error:
                if error.code != UNAVAILABLE or time.monotonic() > give_up:
                    raise
                error.close()
            time.sleep(0.2)

    def _asked(self, method: str, path: str, key: str, body: Mapping[str, Any] | None) -> Any:
        request = urllib.request.Request(
            f"{self.base_url}/api{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def wallet(self, *, cents: int = 1_000) -> Wallet:
        """A new account with credit, and keys."""
        operator = self.credentials["apiKey"]
        account = self.ask("POST", "/accounts", operator, {"name": f"faults-{time.monotonic_ns()}"})
        api_key = account["apiKey"]["token"]
        if cents:
            self.grant(account["id"], cents)
        key = self.ask("POST", "/access-keys", api_key, {"name": "load"})
        return Wallet(account["id"], api_key, key["token"])

    def grant(self, account_id: str, cents: int, *, reference: str | None = None) -> Any:
        """Credit from the operator."""
        body = {"amount": cents, "reason": "faults", "reference": reference or f"faults-{time.monotonic_ns()}"}
        return self.ask("POST", f"/accounts/{account_id}/credits", self.credentials["apiKey"], body)

    def usage_rows(self, wallet: Wallet) -> list[dict[str, Any]]:
        """All usage rows of an account, page by page."""
        path = "/usage?startTime=2020-01-01T00:00:00Z&endTime=2040-01-01T00:00:00Z&includeRetries=true"
        rows: list[dict[str, Any]] = []
        while path:
            page = self.ask("GET", path, wallet.api_key)
            rows += page["aiGatewayUsage"]
            path = (page["nextPageUri"] or "").partition("/api")[2]
        return rows

    def balance(self, wallet: Wallet) -> dict[str, int]:
        """Available, held and debt, in cents."""
        path = f"/accounts/{wallet.account_id}/balance"
        return self.ask("GET", path, self.credentials["apiKey"])

    def adjust(self, account_id: str, amount_nusd: int, *, idem: str) -> None:
        """A correction to the nano-dollar, by the operator on the bus."""
        command = AdjustBalance(account_id, amount_nusd, "faults", "T-1", "tests", idem)
        asyncio.run(self._booked(account_id, command, Booked))

    def sell(self, account_id: str, cents: int, *, reference: str, expires_at_ms: int | None = None) -> None:
        """Bought credit, which expires (365 days on unless told)."""
        amount_nusd = cents * NUSD_PER_CENT
        command = GrantCredit(account_id, amount_nusd, "purchase", "tests", reference, "tests", expires_at_ms)
        asyncio.run(self._booked(account_id, command, CreditGranted))

    def take_back(self, account_id: str, cents: int, *, reference: str) -> None:
        """A chargeback of what was sold."""
        command = ReverseCredit(account_id, "tests", reference, cents * NUSD_PER_CENT, "chargeback", "tests")
        asyncio.run(self._booked(account_id, command, Booked))

    async def _booked(self, account_id: str, command: msgspec.Struct, reply_type: type[msgspec.Struct]) -> None:
        bus = await self.bus()
        try:
            subject = subjects.credit(subjects.journal_of(account_id))
            reply = await bus.ask(subject, command, reply_type, timeout_s=5)
        finally:
            await bus.drain()
        assert isinstance(reply, reply_type), reply

    async def bus(self) -> NatsBus:
        """The bus, as the operator sees it."""
        state = self.state
        url, password = f"nats://127.0.0.1:{state['ports']['nats']}", state["passwords"]["cli"]
        return await connect(url, role="cli", node="cli-faults", user="cli", password=password)

    # -- the other books

    @property
    def journal(self) -> Path | str:
        """Where the blocks are: a SQLite file, or the URL of a PostgreSQL."""
        return self.database_url or self.data / "journal.db"

    def tally(self) -> list[dict[str, Any]]:
        """What the simulator served, as it saw it."""
        url = f"http://127.0.0.1:{self.state['ports']['simulator']}/_sim/tally"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["requests"]

    def outbox_facts(self) -> int:
        """Facts that adapters keep because they do not know them to be settled."""
        ports = [port for name, port in self.state["ports"].items() if name.startswith("metrics_adapter")]
        return sum(_metric(port, "tollway_outbox_facts") for port in ports)


def _is_of(port_name: str, role: str) -> bool:
    return port_name.startswith("metrics_") and port_name.removeprefix("metrics_").partition("-")[0] == role


def _name_of(child: psutil.Process, ports: Mapping[str, str]) -> str:
    """The metrics port tells twins apart; the bus and the simulator have none."""
    words = child.cmdline()
    if "tollway.simulator" in words:
        return "simulator"
    if not any(word.startswith("tollway.") for word in words):
        return "nats"
    name = ports.get(child.environ().get("TOLLWAY_METRICS_PORT", ""), "")
    return name.removeprefix("metrics_")


def _metric(port: int, name: str) -> int:
    """The sum of a metric's values; -1 while the process does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, OSError):
        return -1
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)))
