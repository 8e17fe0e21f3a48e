"""Programs that are real processes: they die, hang, and lose their parent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from tollway.cli.supervisor import EXIT_UNUSABLE, Program, Supervisor, bound_log

WITHIN_S = 20.0
NOTE = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); "


class Stage:
    """A supervisor, what it said, and programs that note their pids in a file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.supervisor = Supervisor(say=self.said.append)

    def start(self, name: str, code: str, *, grace_s: float = 5.0) -> None:
        command = (sys.executable, "-c", NOTE + code, str(self.folder / name))
        log = self.folder / f"{name}.log"
        self.supervisor.start(Program(name, command, dict(os.environ), grace_s=grace_s, log=log))

    def pids(self, name: str) -> list[int]:
        path = self.folder / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not is_so():  # noqa: ASYNC110  what is waited for happens in other processes
            await asyncio.sleep(0.01)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.supervisor.kill()
    await stage.supervisor.drain([])


SLEEP = "import time; time.sleep(600)"
ON_TERM = (
    "import signal, time\n"
    "def end(*_):\n    print('drained', time.monotonic_ns(), flush=True); raise SystemExit\n"
    "signal.signal(signal.SIGTERM, end); print('up', flush=True)\n"
    "while True: time.sleep(600)"
)
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


async def test_a_program_that_is_killed_is_started_again(stage: Stage) -> None:
    stage.start("service", SLEEP)
    await until(lambda: len(stage.pids("service")) == 1)
    os.kill(stage.pids("service")[0], signal.SIGKILL)
    await until(lambda: len(stage.pids("service")) == 2)
    assert stage.supervisor.pids() == {"service": stage.pids("service")[1]}
    assert "service ended with SIGKILL" in stage.said[0]


async def test_a_program_that_ends_by_itself_is_started_again(stage: Stage) -> None:
    stage.start("service", "pass")
    await until(lambda: len(stage.pids("service")) >= 3)
    assert "service ended with exit code 0" in stage.said[0]


async def test_a_program_that_keeps_dying_waits_longer_each_time(stage: Stage) -> None:
    from tollway import clock
    from tollway.cli.supervisor import _wait_s

    now = clock.monotonic_s()
    waits = [_wait_s([now] * deaths) for deaths in range(10)]
    assert waits[0] == waits[1] == 0
    assert waits == sorted(waits)
    assert waits[-1] == 5.0
    assert _wait_s([now - 3600] * 10) == 0


async def test_draining_ends_the_stages_one_after_the_other(stage: Stage) -> None:
    for name in ("first", "second", "unnamed"):
        stage.start(name, ON_TERM)
    await until(lambda: all("up" in stage.log(name) for name in ("first", "second", "unnamed")))
    await stage.supervisor.drain([["first"], ["second"]])
    ended = [int(stage.log(name).split("drained")[1]) for name in ("first", "second", "unnamed")]
    assert ended == sorted(ended)
    assert stage.supervisor.pids() == {}


async def test_a_program_that_does_not_end_in_time_is_killed(stage: Stage) -> None:
    stage.start("deaf", DEAF, grace_s=0.2)
    await until(lambda: "up" in stage.log("deaf"))
    await stage.supervisor.drain([["deaf"]])
    assert "deaf did not end within 0.2 s, killing it" in stage.said
    assert not psutil.pid_exists(stage.pids("deaf")[0])


async def test_a_program_that_cannot_work_as_configured_is_reported(stage: Stage) -> None:
    stage.start("service", f"raise SystemExit({EXIT_UNUSABLE})")
    assert await asyncio.wait_for(stage.supervisor.unusable, WITHIN_S) == "service"


async def test_a_command_that_does_not_exist_is_said_and_does_not_stop_the_others(stage: Stage) -> None:
    stage.supervisor.start(Program("ghost", ("/nonexistent/program",), {}))
    stage.start("service", SLEEP)
    await until(lambda: bool(stage.pids("service")) and bool(stage.said))
    assert stage.said[0].startswith("ghost cannot be started")


PARENT = """
import asyncio, json, os, sys
from tollway.cli.supervisor import Program, Supervisor

async def main():
    supervisor = Supervisor(say=print)
    for name in ("one", "two"):
        supervisor.start(Program(name, (sys.executable, "-c", "import time; time.sleep(600)"), dict(os.environ)))
    while len(supervisor.pids()) < 2:
        await asyncio.sleep(0.01)
    print(json.dumps(supervisor.pids()), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent's life")
def test_children_die_with_their_parent_however_it_dies() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline()).values()]
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=WITHIN_S)
    assert alive == []


def test_a_log_that_grew_too_large_is_kept_once_and_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_bytes(b"x" * 1000)
    bound_log(log, bytes_max=1000)
    assert log.stat().st_size == 1000
    bound_log(log, bytes_max=999)
    assert (log.stat().st_size, (tmp_path / "service.1.log").stat().st_size) == (0, 1000)
