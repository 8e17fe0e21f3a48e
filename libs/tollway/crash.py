"""Named points at which a test may kill the process: inert unless `TOLLWAY_CRASHPOINT` is set.

`TOLLWAY_CRASHPOINT=ledger.after_commit:3` kills the process with SIGKILL when that point is passed the third time.
`CRASHPOINTS` enumerates every point, so that "kill at each of them" is a loop; a test holds the list to the code.
"""

import os
import signal
from typing import Final

_name, _, _nth = os.environ.get("TOLLWAY_CRASHPOINT", "").partition(":")
_left = int(_nth or 1)

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
)


def crashpoint(name: str) -> None:
    """Die here if told to. One string comparison otherwise."""
    if name == _name:
        _count_down()


def _count_down() -> None:
    global _left
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
