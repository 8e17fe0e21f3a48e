"""Time that a broken clock cannot bend: the wall clock, as long as it moves like the monotonic one.

A wall clock that jumps by more than five minutes is not believed: time goes on from where it was, expiry stops and
readiness says so. When it comes back, so does trust. Time that `now_us` gives never makes holds expire by a jump. That
a machine slept is no jump.
"""

from collections.abc import Callable
from typing import Final

from tollway import clock

JUMP_US: Final = 300_000_000


class GuardedClock:
    """`is_trusted` False: wall clock and monotonic clock disagree; lots and holds must not expire now."""

    def __init__(
        self,
        wall_us: Callable[[], int] = lambda: clock.now_ns() // 1000,
        monotonic_s: Callable[[], float] = clock.lived_s,
    ) -> None:
        self.wall_us = wall_us
        self.monotonic_s = monotonic_s
        self._offset_us = wall_us() - int(monotonic_s() * 1_000_000)
        self.is_trusted = True
        self.is_agreed = True
        self._is_compared = False
        self._other_ahead_ms = 0

    def now_us(self) -> int:
        """Unix microseconds: the wall clock's, or what it would show had it not jumped."""
        wall = self.wall_us()
        expected = self._offset_us + int(self.monotonic_s() * 1_000_000)
        drift = wall - expected
        if -JUMP_US < drift < JUMP_US:
            self._offset_us += drift
            self.is_trusted = True
            return wall
        self.is_trusted = False
        return expected

    def jump_ms(self, stamp_ms: int) -> int:
        """By how much the clock is off that made this stamp: 0, or (whole seconds) by as much as our own wall clock
        or the database's is, where the stamp fits that better. A jump may be ours alone or the whole machine's."""
        if self.may_expire:
            return 0
        wall_us = self.wall_us()
        believed_us = self.now_us()
        jumps_ms = [0, round((wall_us - believed_us) / 1_000_000) * 1000, self._other_ahead_ms]
        ahead_ms = stamp_ms - believed_us // 1000
        return min(jumps_ms, key=lambda jump_ms: abs(ahead_ms - jump_ms))

    @property
    def may_expire(self) -> bool:
        """Whether time is sure enough to take credit away."""
        return self.is_trusted and self.is_agreed

    def compare(self, other_us: int) -> None:
        """Tell it what the database's clock shows. Before anything was done by our own, a wall clock that is ahead of
        that one is not believed: of two clocks the earlier takes nobody's credit."""
        ahead_us = other_us - self.now_us()
        if not self._is_compared and ahead_us <= -JUMP_US:
            self._offset_us += ahead_us
            self.is_trusted, ahead_us = False, 0
        self._is_compared = True
        self.is_agreed = abs(ahead_us) < JUMP_US
        self._other_ahead_ms = 0 if self.is_agreed else round(ahead_us / 1_000_000) * 1000
