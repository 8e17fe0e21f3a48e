"""One decision at a time, durable before it is answered, told to everybody after.

Deciding happens on the loop, against the state as the log has it at that moment; only the database is off the loop.
Several auth processes may share a log (PostgreSQL): whoever is second to append catches up and decides again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tollway.auth.domain import Decision
from tollway.auth.events import Event, account_of, resource_of
from tollway.auth.state import State
from tollway.auth.store import Store
from tollway.bus import Bus, BusError
from tollway.crash import crashing, crashpoint
from tollway.tasks import report
from tollway.wire import subjects
from tollway.wire.access import ConfigChanged
from tollway.wire.management import PLATFORM
from tollway.wire.refusals import Refusal, refuse

R = TypeVar("R")
TRIES: Final = 8
LOOK_AGAIN_S: Final = 1.0
"""How soon this process sees what another one wrote to the log, if it does not hear of it."""
GLANCE_S: Final = 0.5
TOLD_WITHIN_S: Final = 2.0
PUT_TIMEOUT_S: Final = 2.0
EVERYBODY: Final = "*"


class Journal:
    """The state, and the only way to change it."""

    def __init__(self, store: Store, bus: Bus, on_change: Callable[[str], None]) -> None:
        self.state = State()
        self._on_change = on_change
        self._store = store
        self._bus = bus
        self._lock = asyncio.Lock()
        self._untold: deque[tuple[int, Event]] = deque()
        self._told_seq = 0
        self._grew = asyncio.Event()
        self._told = asyncio.Condition()

    async def open(self) -> None:
        """Read the projection, what came behind it, and what the others have not been told."""
        await self._store.run(self._store.load, self.state)
        self._told_seq = await self._store.run(self._store.told)
        await self._read_untold(self._told_seq)
        await self.catch_up()

    async def _read_untold(self, told: int) -> None:
        while told < self.state.seq:
            events = await self._store.run(self._store.events_after, told)
            self._untold += [(seq, event) for seq, event in events if seq <= self.state.seq]
            told = events[-1][0]

    async def decide(self, work: Callable[[State], tuple[Decision, R]]) -> R | Refusal:
        """Run `work` on the current state; when its events are durable and told, its answer.

        `work` may run again when another process wrote first, so all chance it uses is drawn inside it.
        """
        try:
            async with self._lock:
                answer = await self._decide(work)
                seq = self.state.seq
        except OperationalError as fault:
            report("the database of auth does not answer", fault)
            return refuse("gateway_unavailable", details={"cause": "database"})
        await self._wait_until_told(seq)
        return answer

    async def _decide(self, work: Callable[[State], tuple[Decision, R]]) -> R | Refusal:
        for _ in range(TRIES):
            await self._catch_up()
            decision, answer = work(self.state)
            if isinstance(decision, Refusal):
                return decision
            crashpoint("auth.decided")
            crashing("auth.in_commit")
            if not decision or await self._store.run(self._store.append, self.state.seq, decision):
                crashpoint("auth.after_commit")
                self._take_in([(self.state.seq + n, event) for n, event in enumerate(decision, 1)])
                return answer
        return refuse("gateway_unavailable", details={"cause": "contention"})

    async def catch_up(self, seq: int | None = None) -> None:
        """See what other processes wrote, at least up to event `seq` if there is one."""
        async with self._lock:
            if seq is None or seq > self.state.seq:
                await self._catch_up()

    async def glance(self) -> None:
        """The same before something is shown, so that a caller sees what it changed through another process; a database
        that does not answer must not hide what is known."""
        with suppress(SQLAlchemyError, TimeoutError):
            async with asyncio.timeout(GLANCE_S):
                await self.catch_up()

    def heard(self, seq: int) -> None:
        """Somebody said that the log goes up to event `seq`: look now rather than when the nap is over."""
        if seq > self.state.seq:
            self._grew.set()

    async def _catch_up(self) -> None:
        while events := await self._store.run(self._store.events_after, self.state.seq):
            self._take_in(events)

    def _take_in(self, events: list[tuple[int, Event]]) -> None:
        for seq, event in events:
            self.state.apply(event, seq)
            self._on_change(resource_of(event)[0])
            self._untold.append((seq, event))
        if events:
            self._grew.set()

    # -- telling

    async def _wait_until_told(self, seq: int) -> None:
        """A caller who is told "deleted" may count on the others knowing; if the stream is stuck, only so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHIN_S), self._told:
                await self._told.wait_for(lambda: self._told_seq >= seq)

    async def tell_for_ever(self) -> None:
        """Put every event on the CONFIG stream, in order, at least once; and look for those of other processes."""
        while True:
            try:
                await self._tell_all()
                await self._nap()
                await self.catch_up()
            except (BusError, SQLAlchemyError) as fault:
                report("configuration changes are not told", fault)
                await asyncio.sleep(LOOK_AGAIN_S)

    async def _nap(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._grew.wait(), LOOK_AGAIN_S)
        self._grew.clear()

    async def _tell_all(self) -> None:
        last = self._told_seq
        while self._untold:
            seq, event = self._untold[0]
            await self._bus.put(*_note(event, seq), message_id=f"auth-{seq}", timeout_s=PUT_TIMEOUT_S)
            crashpoint("auth.before_told")
            self._untold.popleft()
            last = seq
        if last > self._told_seq:
            async with self._told:
                self._told_seq = last
                self._told.notify_all()
            await self._store.run(self._store.set_told, last)


def _note(event: Event, seq: int) -> tuple[str, ConfigChanged]:
    account_id, (kind, id_) = account_of(event), resource_of(event)
    whom = EVERYBODY if account_id == PLATFORM else account_id
    return subjects.config(account_id), ConfigChanged(whom, seq, kind, id_)
