"""CPU and memory of a tree of processes, by what each of them is."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import msgspec
import psutil

SUPERVISOR: Final = "up"
_MODULES: Final = ("ingress", "auth", "router", "adapter", "ledger", "simulator")


class Usage(msgspec.Struct, frozen=True):
    """What one process has used since it started, and holds now."""

    cpu_s: float
    rss_bytes: int


def name_of(command: list[str]) -> str:
    """What a process is, by its command line."""
    line = " ".join(command)
    named = next((module for module in _MODULES if f"tollway.{module}" in line), None)
    return named or ("nats" if "nats-server" in line else SUPERVISOR)


def tree(pid: int) -> dict[int, str]:
    """Processes below and including one, by pid: what they are. Another of the same kind gets a number."""
    found: dict[int, str] = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            name = name_of(process.cmdline())
            same = sum(known.partition("-")[0] == name for known in found.values())
            found[process.pid] = f"{name}-{same + 1}" if same else name
    return found


def usage(names: dict[int, str]) -> dict[str, Usage]:
    """CPU (user and system, children that ended included) and memory, by name."""
    found: dict[str, Usage] = {}
    for pid, name in names.items():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            times = process.cpu_times()
            found[name] = Usage(times.user + times.system, process.memory_info().rss)
    return found


def cpu_between(before: dict[str, Usage], after: dict[str, Usage]) -> dict[str, float]:
    """CPU seconds by name. A process that was started in between counts from its start."""
    return {name: now.cpu_s - before[name].cpu_s if name in before else now.cpu_s for name, now in after.items()}


def pin(pids: Iterable[int], cores: set[int]) -> None:
    """Keep all threads of these processes on these cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for pid in pids:
        with suppress(ProcessLookupError, FileNotFoundError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), cores)


def cores() -> tuple[set[int], set[int]]:
    """One core for the gateway, the others for load and provider (the same if it is the only one)."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    ours = sorted(os.sched_getaffinity(0))
    return {ours[0]}, set(ours[1:]) or {ours[0]}
