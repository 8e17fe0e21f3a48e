"""Facts on their way to the ledger: kept in the outbox, put into the USAGE stream, forgotten when they are settled.

Each group of journals, which one ledger owns, has one message under way at a time, and no more than twenty a second;
what comes meanwhile travels in the next one. A fact that is not settled within a while is put again: nothing that a
broker loses is lost, and the ledger takes each fact once.
"""

import asyncio
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from tollway import clock, ids
from tollway.bus import Bus, BusError, Subscription
from tollway.crash import crashpoint
from tollway.store.outbox import Outbox, adopt, claim
from tollway.tasks import spawn
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.usage import Settled, UsageFact, UsageFacts

FACTS_MAX: Final = 128
PUT_TIMEOUT_S: Final = 5.0
PUTS_APART_S: Final = 0.05
"""The first fact of a group travels at once, so that who asks right after an answer finds it; those close behind it
share a message: a put costs broker, ledger and adapter some 300 us, whatever is in it."""
AGAIN_S: Final = 5.0
AGAIN_S_MAX: Final = 60.0
ORPHANS_S: Final = 30.0

_encode: Final = msgspec.msgpack.Encoder().encode
_journal_of: Final = lru_cache(65_536)(subjects.journal_of)
_decode: Final = msgspec.msgpack.Decoder(UsageFact).decode


class _Sent(msgspec.Struct):
    """When a fact was put last, and how long to wait for its settlement before it is put again."""

    at_s: float
    wait_s: float


class Publisher:
    """One outbox of this process, and those that dead processes left behind."""

    def __init__(self, bus: Bus, telemetry: Telemetry, *, data_dir: Path, pool: str) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._data_dir = data_dir
        self._pool = pool
        self.outbox = claim(data_dir, pool)
        self._outboxes: dict[str, Outbox] = {self.outbox.id: self.outbox}
        self._subscriptions: list[Subscription] = []
        self._waiting: dict[int, list[UsageFact]] = defaultdict(list)
        self._busy: set[int] = set()
        self._put_at_s: dict[int, float] = {}
        self._sent: dict[str, _Sent] = {}
        self._orphans_at_s = 0.0
        telemetry.gauge("tollway_outbox_facts").read = lambda: float(self.unsettled)
        self.outbox.on_sync = self._synced

    async def start(self) -> None:
        """Hear of settlements, and begin with what the last process left."""
        await self._listen(self.outbox)
        self._tell_damage(self.outbox)

    async def keep(self, fact: UsageFact) -> None:
        """Sync the fact to disk, then let it travel. Raises OutboxError if the disk does not take it."""
        journal = _journal_of(fact.account_id)
        await self.outbox.append(fact.hold_id, journal, _encode(fact))
        crashpoint("adapter.after_outbox")
        self._sent[fact.hold_id] = _Sent(clock.monotonic_s(), AGAIN_S)
        self._offer(journal, fact)

    @property
    def unsettled(self) -> int:
        """Facts not yet known to be settled."""
        return sum(len(outbox.entries) for outbox in self._outboxes.values())

    @property
    def error(self) -> str | None:
        """Why nothing can be kept now, or None."""
        return self.outbox.error

    async def tick(self) -> None:
        """Put again what was not settled in time, and look for orphans now and then. About once a second."""
        now_s = clock.monotonic_s()
        if self.error is not None:
            self.outbox.probe()
        if now_s >= self._orphans_at_s:
            self._orphans_at_s = now_s + ORPHANS_S
            await self._adopt()
        for outbox in tuple(self._outboxes.values()):
            await self._again(outbox, now_s)
        self._telemetry.gauge("tollway_outbox_oldest_seconds").set(self._oldest_s())

    def _synced(self, seconds: float) -> None:
        self._telemetry.counter("tollway_outbox_syncs").add()
        self._telemetry.histogram("tollway_outbox_sync_seconds").observe(seconds)

    def _oldest_s(self) -> float:
        """Age of the oldest fact that is not settled: facts are entered in the order of their ends."""
        firsts = [next(iter(outbox.entries)) for outbox in self._outboxes.values() if outbox.entries]
        return max(map(_age_s, firsts), default=0.0)

    async def close(self) -> None:
        """Stop hearing; what is unsettled stays on disk for the next process."""
        for subscription in self._subscriptions:
            await subscription.stop()
        for outbox in self._outboxes.values():
            await outbox.close()

    async def _adopt(self) -> None:
        for outbox in adopt(self._data_dir, self._pool):
            self._outboxes[outbox.id] = outbox
            self._telemetry.log("info", "outbox_adopted", outbox=outbox.id, count=len(outbox.entries))
            self._tell_damage(outbox)
            await self._listen(outbox)

    def _tell_damage(self, outbox: Outbox) -> None:
        if outbox.damaged or outbox.torn_bytes:
            self._telemetry.log(
                "error", "outbox_damaged", outbox=outbox.id, count=outbox.damaged, size_bytes=outbox.torn_bytes
            )

    async def _listen(self, outbox: Outbox) -> None:
        def settled(body: Settled, _context: Context, _subject: str) -> None:
            outbox.settle(body.hold_ids)
            for hold_id in body.hold_ids:
                self._sent.pop(hold_id, None)

        self._subscriptions.append(await self._bus.listen(subjects.settled(outbox.id), [Settled], settled))

    async def _again(self, outbox: Outbox, now_s: float) -> None:
        due = [key for key in outbox.entries if self._is_due(key, now_s)][: FACTS_MAX * 8]
        if not due or not self._bus.is_connected:
            return
        for key, body in (await outbox.read(due)).items():
            if key in outbox.entries:
                self._offer(outbox.entries[key].group, _decode(body))
                before = self._sent.get(key)
                wait_s = AGAIN_S if before is None else min(before.wait_s * 2, AGAIN_S_MAX)
                self._sent[key] = _Sent(now_s, wait_s)

    def _is_due(self, key: str, now_s: float) -> bool:
        sent = self._sent.get(key)
        return sent is None or now_s - sent.at_s >= sent.wait_s

    def _offer(self, journal: int, fact: UsageFact) -> None:
        group = subjects.group_of(journal)
        self._waiting[group].append(fact)
        if group not in self._busy:
            self._busy.add(group)
            spawn(self._put_all(group), name="publish")

    async def _put_all(self, group: int) -> None:
        waiting = self._waiting[group]
        try:
            while waiting:
                await self._turn(group)
                batch = waiting[:FACTS_MAX]
                del waiting[:FACTS_MAX]
                if not await self._put(batch):
                    waiting.clear()  # they are in the outbox and will be due again
        finally:
            self._busy.discard(group)

    async def _turn(self, group: int) -> None:
        """Wait until this group's last put is PUTS_APART_S ago."""
        wait_s = self._put_at_s.get(group, 0.0) + PUTS_APART_S - clock.monotonic_s()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._put_at_s[group] = clock.monotonic_s()

    async def _put(self, batch: list[UsageFact]) -> bool:
        try:
            await self._bus.put(
                subjects.usage(_journal_of(batch[0].account_id)),
                UsageFacts(batch),
                message_id=ids.new_id("put"),  # never that of an earlier try: its reply may be what was lost
                timeout_s=PUT_TIMEOUT_S,
            )
        except BusError:
            return False
        crashpoint("adapter.after_publish")
        return True


def _age_s(hold_id: str) -> float:
    """Since the hold was named; 0 for a name without a time."""
    try:
        return (clock.now_ms() - ids.ulid_ms(hold_id)) / 1000
    except ValueError:
        return 0.0
