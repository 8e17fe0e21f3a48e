"""What becomes due by itself: holds past their deadline and grace, lots past their expiry. As events, never on read.

Now and then a journal also writes the digest of its state, which the auditor compares with its own replay.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from tollway.ledger.clockguard import GuardedClock
from tollway.ledger.deciding.credit import ExpireLot
from tollway.ledger.deciding.unheard import HOLD_GRACE_MS, ExpireHold
from tollway.ledger.desk import Desk
from tollway.ledger.events import StateRooted
from tollway.ledger.state import STATE_VERSION, root
from tollway.ledger.writer import Writer
from tollway.tasks import report
from tollway.wire.subjects import JOURNALS

TICK_S: Final = 1.0
ROOT_EVENTS: Final = 10_000
ROOT_TICKS: Final = 300
"""A root after this many events, or after five minutes in which there was any."""


class Room(Protocol):
    """What the tick needs of the service."""

    desks: dict[int, Desk]
    guard: GuardedClock
    writer: Writer
    now_us: Callable[[], int]


class Deadlines:
    """Open holds are few and looked at every second; lots are many: one journal's a second."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._turn = 0
        self._rooted: dict[int, tuple[int, int]] = {}
        self._ticks = 0

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Expire what is due, unless the clock is not to be believed or the database is in trouble."""
        now_us = self._room.now_us()
        if not self._room.guard.may_expire or self._room.writer.is_stalled:
            return
        self._ticks += 1
        self._turn = (self._turn + 1) % JOURNALS
        for desk in list(self._room.desks.values()):
            self._look(desk, now_us)

    def _look(self, desk: Desk, now_us: int) -> None:
        """A bug that stops one journal (its desk has told it by then) must not stop the clock of all."""
        try:
            self._holds(desk, now_us)
            self._root(desk, now_us)
            if desk.journal == self._turn:
                self._lots(desk, now_us)
        except Exception as fault:  # noqa: BLE001  see above
            report(f"deadlines of journal {desk.journal}", fault)

    def _holds(self, desk: Desk, now_us: int) -> None:
        due_ms = now_us // 1000 - HOLD_GRACE_MS
        for hold in [hold for hold, kept in desk.state.holds.items() if kept.deadline <= due_ms]:
            desk.take(ExpireHold(hold), now_us)
            self._room.writer.wake(desk)

    def _root(self, desk: Desk, now_us: int) -> None:
        events = desk.state.events
        at_events, at_tick = self._rooted.setdefault(desk.journal, (events, self._ticks))
        is_due = events - at_events >= ROOT_EVENTS or (events > at_events and self._ticks - at_tick >= ROOT_TICKS)
        if is_due:
            self.write_root(desk, now_us)

    def write_root(self, desk: Desk, now_us: int) -> None:
        """Append `state.root` for what the state is now."""
        desk.post(
            StateRooted(accounts=len(desk.state.accounts), digest=root(desk.state), version=STATE_VERSION), now_us
        )
        self._rooted[desk.journal] = (desk.state.events, self._ticks)
        self._room.writer.wake(desk)

    def _lots(self, desk: Desk, now_us: int) -> None:
        now_ms = now_us // 1000
        due = [
            ExpireLot(identifier, lot.id)
            for identifier, account in desk.state.accounts.items()
            for lot in account.lots
            if lot.expires_at is not None and lot.expires_at < now_ms and not lot.is_expired
        ]
        for command in due:
            desk.take(command, now_us)
            self._room.writer.wake(desk)
