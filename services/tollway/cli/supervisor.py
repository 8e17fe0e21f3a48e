"""Keeps the processes of `tollway up` alive, and ends them in an order that loses nothing.

One task per program: start it, wait for its end, start it again. The first deaths are answered at once; only a
program that keeps dying waits. Children are in sessions of their own, so that Ctrl-C at the terminal reaches this
process alone, and on Linux the kernel ends them when this process dies in whatever way.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from tollway import clock
from tollway.tasks import spawn

DEATHS_WITHIN_S: Final = 30.0
WAITS_S: Final = (0.0, 0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before a start, by the number of deaths within DEATHS_WITHIN_S."""
EXIT_NOT_STARTED: Final = 127
EXIT_UNUSABLE: Final = 78
"""A program says that starting it again will not help (EX_CONFIG)."""
LOG_BYTES_MAX: Final = 64 * 1024 * 1024
LOG_CHECK_S: Final = 15.0
KILLED_WITHIN_S: Final = 5.0
PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class Program:
    """One process to keep. `grace_s`: how long it may take to end by itself after SIGTERM. `log` None: it shares
    our terminal. `descriptors`: what it inherits."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    grace_s: float = 10.0
    log: Path | None = None
    descriptors: Sequence[int] = ()


@dataclass
class _Kept:
    """A program and its current process."""

    program: Program
    process: asyncio.subprocess.Process | None = None
    task: asyncio.Task[None] | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: deque[float] = field(default_factory=lambda: deque[float](maxlen=len(WAITS_S)))


class Supervisor:
    """Start programs with `start`, end them with `drain` (a list of stages, first to last)."""

    def __init__(self, *, say: Callable[[str], None]) -> None:
        self._kept: dict[str, _Kept] = {}
        self._say = say
        self._tie = _tie_to_parent()
        self._log_task: asyncio.Task[None] | None = None
        self.unusable: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done when a program says that it cannot work as configured: its name."""

    def start(self, program: Program) -> None:
        """Keep a program running from now on."""
        kept = self._kept[program.name] = _Kept(program)
        kept.task = spawn(self._keep(kept), name=f"keep {program.name}")
        if self._log_task is None:
            self._log_task = spawn(self._bound_logs(), name="bound logs")

    def pids(self) -> dict[str, int]:
        """Processes that run now, by program."""
        return {
            name: kept.process.pid
            for name, kept in self._kept.items()
            if kept.process is not None and kept.process.returncode is None
        }

    async def _keep(self, kept: _Kept) -> None:
        while not kept.stop.is_set():
            code = await self._run_once(kept)
            if not kept.stop.is_set():
                self._note_death(kept, code)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(kept.stop.wait(), _wait_s(kept.deaths))

    async def _run_once(self, kept: _Kept) -> int:
        """One life of the process; its exit code, negative for a signal."""
        try:
            kept.process = await self._begin(kept.program)
        except OSError as error:
            self._say(f"{kept.program.name} cannot be started: {error.strerror}")
            return EXIT_NOT_STARTED
        if kept.stop.is_set():  # told to stop while it was being started
            _signal(kept, signal.SIGTERM)
        return await kept.process.wait()

    async def _begin(self, program: Program) -> asyncio.subprocess.Process:
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(_open_log(program.log)) if program.log else None
            return await asyncio.create_subprocess_exec(
                *program.command,
                env=dict(program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=program.descriptors,
                preexec_fn=self._tie,
            )

    def _note_death(self, kept: _Kept, code: int) -> None:
        kept.deaths.append(clock.monotonic_s())
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        where = f" (see {kept.program.log})" if kept.program.log else ""
        self._say(f"{kept.program.name} ended with {how}, starting it again{where}")
        if code == EXIT_UNUSABLE and not self.unusable.done():
            self.unusable.set_result(kept.program.name)

    async def drain(self, stages: Sequence[Sequence[str]]) -> None:
        """End programs stage by stage; whoever exceeds its grace is killed. What no stage names ends last."""
        named = {name for stage in stages for name in stage}
        rest = [name for name in self._kept if name not in named]
        for stage in (*stages, rest):
            await asyncio.gather(*(self._end(self._kept[name]) for name in stage if name in self._kept))
        if self._log_task is not None:
            self._log_task.cancel()

    async def _end(self, kept: _Kept) -> None:
        kept.stop.set()
        _signal(kept, signal.SIGTERM)
        if kept.task is None or await _ended(kept, kept.program.grace_s):
            return
        self._say(f"{kept.program.name} did not end within {kept.program.grace_s:g} s, killing it")
        _signal(kept, signal.SIGKILL)
        await _ended(kept, KILLED_WITHIN_S)

    def restart(self, name: str) -> None:
        """End a program's process, so that another is started in its place."""
        if name in self._kept:
            _signal(self._kept[name], signal.SIGTERM)

    def kill(self) -> None:
        """End everything now; what was acknowledged is durable and what was not is repeated at the next start."""
        for kept in self._kept.values():
            kept.stop.set()
            _signal(kept, signal.SIGKILL)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for kept in self._kept.values():
                if kept.program.log is not None:
                    bound_log(kept.program.log)


def bound_log(path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Keep one older file beside the current one. Copied and cut, since the process keeps its file open."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > bytes_max:
            shutil.copyfile(path, path.with_suffix(".1.log"))
            os.truncate(path, 0)


def _wait_s(deaths: Sequence[float]) -> float:
    recent = sum(1 for at in deaths if clock.monotonic_s() - at < DEATHS_WITHIN_S)
    return WAITS_S[min(recent, len(WAITS_S) - 1)]


async def _ended(kept: _Kept, within_s: float) -> bool:
    """Whether the program's task came to its end in time."""
    assert kept.task is not None
    done, _ = await asyncio.wait({kept.task}, timeout=within_s)
    return bool(done)


def _signal(kept: _Kept, number: signal.Signals) -> None:
    """To the whole session of the process, so that its own children go along."""
    if kept.process is not None and kept.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(kept.process.pid, number)
            else:
                kept.process.send_signal(number)


def _open_log(path: Path) -> IO[bytes]:
    """Append to a program's log, readable by the owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab")


def _tie_to_parent() -> Callable[[], None] | None:
    """Run in the child before its program: the kernel kills it when we die. Nothing like it exists off Linux."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return tie
