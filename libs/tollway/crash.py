"""Named points at which a test may kill the process: inert unless `TOLLWAY_CRASHPOINT` is set.

`TOLLWAY_CRASHPOINT=ledger.after_commit:3` kills the process with SIGKILL when that point is passed the third time.
`TOLLWAY_CRASHPOINT=@/path` reads the same from a file, if it is there when the process starts, and removes the file
before it strikes: the process that is started in its place lives. `CRASHPOINTS` enumerates every point, so that "kill
at each of them" is a loop; a test holds the list to the code.
"""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Final


def _read_told(told: str) -> tuple[str, Path | None]:
    """The point to die at, and the file that says so."""
    if not told.startswith("@"):
        return told, None
    path = Path(told[1:])
    return (path.read_text().strip() if path.is_file() else ""), path


_told, _file = _read_told(os.environ.get("TOLLWAY_CRASHPOINT", ""))
_name, _, _nth = _told.partition(":")
_left = int(_nth or 1)

DURING_S: Final = 0.001
"""`crashing`: the process dies this long after the point at most, so in the middle of what follows it."""

CRASHPOINTS: Final = (
    "ledger.command_read",
    "ledger.decided",
    "ledger.block_built",
    "ledger.in_commit",
    "ledger.after_commit",
    "ledger.after_some_replies",
    "ledger.after_relay",
    "ledger.before_usage_ack",
    "adapter.before_dispatch",
    "adapter.upstream_accepted",
    "adapter.mid_stream",
    "adapter.after_outbox",
    "adapter.after_publish",
    "ingress.before_hold",
    "ingress.after_hold",
    "ingress.mid_stream",
    "ingress.after_last_chunk",
    "auth.decided",
    "auth.in_commit",
    "auth.after_commit",
    "auth.before_told",
)


def crashpoint(name: str) -> None:
    """Die here if told to. One string comparison otherwise."""
    if name == _name and _is_time():
        _die()


def crashing(name: str) -> None:
    """Die at some moment of what follows, if told to: for a call that cannot be stopped half-way by itself."""
    if name == _name and _is_time():
        threading.Thread(target=_die_soon, daemon=True).start()


def _is_time() -> bool:
    global _left
    _left -= 1
    return _left <= 0


def _die_soon() -> None:
    time.sleep(DURING_S * (time.monotonic_ns() % 1000) / 1000)
    _die()


def _die() -> None:
    if _file is not None:
        _file.unlink(missing_ok=True)
    os.kill(os.getpid(), signal.SIGKILL)
