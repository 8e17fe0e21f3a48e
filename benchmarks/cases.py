"""What is measured, and how long it takes. Everything runs on loopback against the simulator, which answers at once."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.driver import Job, Result, quantile_ms
from benchmarks.floor import Floor
from benchmarks.processes import Usage, cpu_between
from benchmarks.system import System, free_port

WORDS: Final = "the quick brown fox jumps over the lazy dog and "
PATH: Final = "/v1/chat/completions"
SETTLE_S: Final = 0.6
"""How long the last facts take to be settled: their CPU belongs to the requests."""
DRIVER_GRACE_S: Final = 60.0


class Target(msgspec.Struct, frozen=True):
    """Where requests go: the gateway, or the provider directly."""

    port: int
    key: str
    prefix: str


class Measured(msgspec.Struct, frozen=True):
    """One run against the gateway: what the driver saw, and the CPU of each process, µs per answer."""

    result: Result
    cpu_us: dict[str, float]

    @property
    def cpu_us_all(self) -> float:
        """CPU of all processes per answer."""
        return sum(self.cpu_us.values())


class Compared(msgspec.Struct, frozen=True):
    """The same load through the gateway and to the provider directly."""

    gateway: Measured
    direct: Result


class Report(msgspec.Struct, frozen=True):
    """Everything that was measured. Keys of `json` are concurrency, of `fixed` requests per second."""

    machine: dict[str, str]
    start_s: float
    idle_cpu_percent: float
    idle_rss_bytes: dict[str, int]
    loaded_rss_bytes: dict[str, int]
    floor_cpu_us: float
    sync_p50_ms: float
    sync_p99_ms: float
    json: dict[int, Measured]
    fixed: dict[int, Compared]
    first: Compared
    paced: Measured
    at_once: Measured
    spans_batches: int = 0


def chat(model: str, *, is_stream: bool, text_bytes: int = 1000) -> str:
    """A request of about 1 KB, which `echo` answers with about 1 KB."""
    text = (WORDS * (text_bytes // len(WORDS) + 1))[:text_bytes]
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 512}
    return msgspec.json.encode(body | ({"stream": True} if is_stream else {})).decode()


def job(target: Target, model: str, *, is_stream: bool = False, **how: Any) -> Job:
    """A job of the driver for a target."""
    return Job(
        host="127.0.0.1",
        port=target.port,
        path=PATH,
        headers={"authorization": f"Bearer {target.key}"},
        body=chat(target.prefix + model, is_stream=is_stream),
        is_stream=is_stream,
        **how,
    )


def drive(work: Job) -> Result:
    """Run the driver in a process of its own, on our cores."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.driver"],
        input=msgspec.json.encode(work),
        capture_output=True,
        check=False,
        timeout=work.seconds + DRIVER_GRACE_S,
    )
    if done.returncode:
        raise RuntimeError(f"the driver failed: {done.stderr.decode(errors='replace')[-800:]}")
    return msgspec.json.decode(done.stdout, type=Result)


class Bench:
    """Cases against one running system. `scale` shortens every run."""

    def __init__(self, system: System, *, scale: float = 1.0) -> None:
        self._system = system
        self._scale = scale
        self.gateway = Target(system.port, system.access_key, "simulator:")
        self.direct = Target(system.simulator_port, "simulator", "")

    def seconds(self, full: float) -> float:
        """Length of a run."""
        return max(0.5, full * self._scale)

    def measured(self, work: Job) -> Measured:
        """A run with the CPU of the gateway's processes around it."""
        before = self._system.usage()
        result = drive(work)
        time.sleep(SETTLE_S)
        cpu = cpu_between(before, self._system.usage())
        answers = max(1, result.count + sum(result.failed.values()))
        return Measured(result, {name: seconds * 1e6 / answers for name, seconds in cpu.items()})

    def closed(self, concurrency: int, seconds: float, model: str = "echo", *, is_stream: bool = False) -> Measured:
        """So many requests in flight."""
        how: dict[str, Any] = {"mode": "closed", "concurrency": concurrency, "seconds": self.seconds(seconds)}
        return self.measured(job(self.gateway, model, is_stream=is_stream, **how))

    def compared(self, rate: int, seconds: float, model: str = "echo", *, is_stream: bool = False) -> Compared:
        """So many requests a second, through the gateway and directly."""
        how: dict[str, Any] = {"mode": "open", "rate": rate, "seconds": self.seconds(seconds), "concurrency": 32}
        direct = drive(job(self.direct, model, is_stream=is_stream, **how))
        return Compared(self.measured(job(self.gateway, model, is_stream=is_stream, **how)), direct)

    def floor_cpu_us(self) -> float:
        """CPU of the least that Python could do per request, on the gateway's core while the gateway is idle."""
        with Floor(port=free_port(), cores=self._system.gateway_cores) as floor:
            how: dict[str, Any] = {"mode": "closed", "concurrency": 16, "seconds": self.seconds(2)}
            before = floor.cpu_s()
            result = drive(job(Target(floor.port, "", ""), "echo", **how))
            return (floor.cpu_s() - before) * 1e6 / max(1, result.count)

    def idle_cpu_percent(self) -> float:
        """Share of a core that the gateway takes while nobody asks."""
        seconds = self.seconds(4)
        before = self._system.usage()
        time.sleep(seconds)
        return sum(cpu_between(before, self._system.usage()).values()) / seconds * 100

    def run(self, start_s: float, machine: dict[str, str]) -> Report:
        """All cases, in an order that warms the system up first."""
        idle_rss = rss(self._system.usage())
        self.closed(16, 3)
        self.closed(4, 1, "echo;chunks=10", is_stream=True)
        idle = self.idle_cpu_percent()
        sync = sync_s(self._system.data, self.seconds(1))
        report = Report(
            machine=machine,
            start_s=start_s,
            idle_cpu_percent=idle,
            idle_rss_bytes=idle_rss,
            floor_cpu_us=self.floor_cpu_us(),
            sync_p50_ms=quantile_ms(sync, 0.5),
            sync_p99_ms=quantile_ms(sync, 0.99),
            json={
                concurrency: self.closed(concurrency, seconds) for concurrency, seconds in ((1, 6), (16, 12), (64, 10))
            },
            fixed={rate: self.compared(rate, 8) for rate in (50, 200)},
            first=self.compared(20, 6, "echo;chunks=20", is_stream=True),
            paced=self.closed(24, 8, "echo;chunks=100;delay=10", is_stream=True),
            at_once=self.closed(8, 8, "echo;chunks=100", is_stream=True),
            loaded_rss_bytes=rss(self._system.usage()),
        )
        return msgspec.structs.replace(report, spans_batches=self._system.sink.batches)


def rss(usage: dict[str, Usage]) -> dict[str, int]:
    """Resident memory by process."""
    return {name: now.rss_bytes for name, now in usage.items()}


def sync_s(directory: Path, seconds: float) -> list[float]:
    """What appending 4 KB and fdatasync take on the disk of the data, rising, in seconds."""
    taken: list[float] = []
    path = directory / "sync-probe"
    until = time.perf_counter() + seconds
    with path.open("wb", buffering=0) as file:
        while time.perf_counter() < until:
            file.write(b"x" * 4096)
            before = time.perf_counter()
            getattr(os, "fdatasync", os.fsync)(file.fileno())
            taken.append(time.perf_counter() - before)
    path.unlink()
    return sorted(taken)
