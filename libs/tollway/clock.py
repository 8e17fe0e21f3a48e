"""The clocks. Only the edge reads them; the pure floor is told the time."""

import time


def now_ms() -> int:
    """Wall clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def now_ns() -> int:
    """Wall clock, Unix nanoseconds (spans)."""
    return time.time_ns()


def lived_s() -> float:
    """Seconds that never jump and go on while the machine sleeps, to hold the wall clock to."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # macOS counts sleep in the latter


def monotonic_s() -> float:
    """Seconds that never jump, for limits within one process."""
    return time.monotonic()
