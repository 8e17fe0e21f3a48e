"""Python runs this before anything else when its directory is on PYTHONPATH: the process's wall clock is wrong then.

By how much is in a file, in seconds, looked at on every reading, so that the clock jumps when the test writes it. Only
the processes of the module that TOLLWAY_TEST_BENT names are lied to ("*": all). The monotonic clock tells the truth,
as it does when a machine's clock is set.
"""

import os
import sys
import time
from pathlib import Path

_MODULE, _, _FILE = os.environ.get("TOLLWAY_TEST_BENT", "").partition("@")


def _bend(file: Path) -> None:
    true_ns = time.time_ns

    def bent_ns() -> int:
        try:
            shift_s = float(file.read_text() or 0)
        except (OSError, ValueError):
            shift_s = 0.0
        return true_ns() + int(shift_s * 1_000_000_000)

    time.time_ns = bent_ns
    time.time = lambda: bent_ns() / 1_000_000_000


if _MODULE == "*" or (_MODULE and _MODULE in sys.orig_argv):
    _bend(Path(_FILE))
