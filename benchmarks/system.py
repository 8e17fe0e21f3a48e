"""The system under test: `tollway up` on a fresh directory, on one core, with credit enough and a simulator."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Final

from benchmarks import processes
from benchmarks.sink import Sink
from tollway.bus.nats import connect
from tollway.wire import subjects
from tollway.wire.credit import CreditGranted, GrantCredit
from tollway.wire.refusals import Refusal

READY_WITHIN_S: Final = 90.0
STOP_WITHIN_S: Final = 60.0
GRANT_TRIES: Final = 20
CREDIT_NUSD: Final = 100_000 * 10**9
TRACE_SAMPLE: Final = "0.01"


class NotStarted(Exception):  # noqa: N818  it is what happened
    """The gateway did not come up; the message has its last words."""


class System:
    """A running gateway. `with System(data=…) as system:`; the directory is removed at the end unless it was given."""

    def __init__(self, *, data: Path | None = None, environment: dict[str, str] | None = None) -> None:
        self._own = None if data else tempfile.TemporaryDirectory(prefix="tollway-bench-")
        self.data = data or Path(self._own.name if self._own else "") / "data"
        self.port = free_port()
        self.sink = Sink()
        self.gateway_cores, self.load_cores = processes.cores()
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.access_key = ""
        self.simulator_port = 0

    def __enter__(self) -> "System":
        try:
            self.sink.__enter__()
            self._start()
            self._wait_until_ready()
            self._read_credentials()
            asyncio.run(self._grant())
            self._place()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def names(self) -> dict[int, str]:
        """Processes of the gateway by pid, without the simulator."""
        assert self._process is not None
        return {pid: name for pid, name in processes.tree(self._process.pid).items() if name != "simulator"}

    def usage(self) -> dict[str, processes.Usage]:
        """CPU and memory of the gateway's processes."""
        return processes.usage(self.names)

    def stop(self) -> None:
        """Drain and end it; what does not end in time is killed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            self.sink.__exit__()
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._own is not None:
            self._own.cleanup()

    def _start(self) -> None:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._log = (self.data.parent / "up.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tollway.cli", "up", "--data", str(self.data), "--port", str(self.port)],
            env=self._told(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        processes.pin([self._process.pid], self.gateway_cores)

    def _told(self) -> dict[str, str]:
        """No provider of the caller's, so that the simulator is the only one."""
        kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
        return {
            **kept,
            "TOLLWAY_SIMULATOR": "1",
            "TOLLWAY_TRACE_SAMPLE": TRACE_SAMPLE,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.sink.endpoint,
            **self._environment,
        }

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < give_up:
            if self._process is None or self._process.poll() is not None:
                break
            if self._is_ready() and (self.data / "credentials.json").exists():
                return
            time.sleep(0.1)
        log = (self.data.parent / "up.log").read_text(errors="replace")
        raise NotStarted(f"`tollway up` did not get ready: {log[-600:]}")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _read_credentials(self) -> None:
        self.access_key = json.loads((self.data / "credentials.json").read_bytes())["accessKey"]
        self._state = json.loads((self.data / "tollway.json").read_bytes())
        self.simulator_port = self._state["ports"]["simulator"]
        self._account = json.loads((self.data / "credentials.json").read_bytes())["accountId"]

    async def _grant(self) -> None:
        """The welcome credit lasts for some ten thousand requests; put in enough for all."""
        bus = await connect(
            f"nats://127.0.0.1:{self._state['ports']['nats']}",
            role="cli",
            node="benchmarks",
            user="cli",
            password=self._state["passwords"]["cli"],
        )
        try:
            grant = GrantCredit(self._account, CREDIT_NUSD, "promotional", "benchmarks", self._account, by="benchmarks")
            subject = subjects.credit(subjects.journal_of(self._account))
            for _ in range(GRANT_TRIES):
                reply = await bus.ask(subject, grant, CreditGranted, timeout_s=5)
                if not isinstance(reply, Refusal):
                    return
                await asyncio.sleep(0.5)
            raise NotStarted("the ledger does not take credit for the benchmark")
        finally:
            await bus.drain()

    def _place(self) -> None:
        """Provider and load on the other cores; the gateway's processes were born on theirs."""
        assert self._process is not None
        all_of_it = processes.tree(self._process.pid)
        processes.pin([pid for pid, name in all_of_it.items() if name == "simulator"], self.load_cores)
        processes.pin([os.getpid()], self.load_cores)


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
