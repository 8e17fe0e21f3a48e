"""Where the time goes inside one process, by py-spy if it is installed (`pip install py-spy`; it needs ptrace).

The service gets a core for itself, so that what it waits for is not taken for what it does; only threads that hold the
interpreter are sampled, so what a database does by itself is not counted.
"""

import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks import processes
from benchmarks.cases import Bench
from benchmarks.system import System

RATE: Final = 500
HOW: Final = ("--gil", "--function", "--nonblocking", "-f", "raw")
SHOWN: Final = 70


class NoProfiler(Exception):  # noqa: N818  it is what is missing
    """py-spy is not there; the message says how to get it."""


def profile(system: System, bench: Bench, service: str, *, seconds: float, out: Path) -> str:
    """Load the system with 16 in flight and sample one service. Returns a table of its own and inclusive time."""
    tool = shutil.which("py-spy")
    if tool is None:
        raise NoProfiler("py-spy is not installed: pip install py-spy")
    pid = next((pid for pid, name in system.names.items() if name == service), None)
    if pid is None:
        raise NoProfiler(f"no process called {service}; there are {', '.join(system.names.values())}")
    processes.pin([other for other in system.names if other != pid], system.load_cores)
    load = threading.Thread(target=bench.closed, args=(16, seconds + 2))
    load.start()
    time.sleep(1)
    subprocess.run(
        [tool, "record", *HOW, "-p", str(pid), "-d", str(int(seconds)), "-r", str(RATE), "-o", str(out)],
        check=True,
        capture_output=True,
    )
    load.join()
    return summary(out.read_text())


def summary(stacks: str) -> str:
    """Shares of the samples by function: in it (`own`), and in it or below it (`all`)."""
    own, whole, total = Counter[str](), Counter[str](), 0
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [frame.strip() for frame in frames.split(";")]
        total += int(count)
        own[names[-1]] += int(count)
        whole.update(dict.fromkeys(names, int(count)))
    rows = [f"{'own %':>6} {'all %':>6}  function"]
    rows += [f"{100 * n / total:6.1f} {100 * whole[name] / total:6.1f}  {name}" for name, n in own.most_common(SHOWN)]
    rows += ["", "inclusive"]
    rows += [f"{100 * own[name] / total:6.1f} {100 * n / total:6.1f}  {name}" for name, n in whole.most_common(SHOWN)]
    return "\n".join(rows)
