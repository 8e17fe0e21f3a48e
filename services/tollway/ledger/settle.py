"""From the USAGE stream to settled holds: facts and witnesses are decided, committed, acknowledged, in this order.

The adapter that wrote a fact hears `settled.<outbox>` once the fact is in a committed block, also when it was there
before; until then it keeps the fact and sends it again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import msgspec

from tollway import ids
from tollway.bus import Bus, Delivery, Subscription
from tollway.crash import crashpoint
from tollway.ledger.deciding.facts import compare, conflict, is_too_old
from tollway.ledger.desk import Desk
from tollway.ledger.journal.finding import find_ending
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.writer import Writer
from tollway.tasks import spawn
from tollway.wire import subjects
from tollway.wire.usage import Settled, UsageFact, UsageFacts, Witness

ACK_WAIT_S = 10.0
IN_FLIGHT_MAX = 512


class Room(Protocol):
    """What settling needs of the service."""

    bus: Bus
    writer: Writer
    journal: JournalStore

    def desk_of(self, account_id: str) -> Desk | None:
        """The desk of an account's journal, if it is ours."""
        ...

    def now_us(self) -> int:
        """Guarded time."""
        ...

    def settled(self, desk: Desk, fact: UsageFact, events: list[Any]) -> None:
        """Count and trace it."""
        ...


class Taken(msgspec.Struct):
    """What became of a message: the desks that decided, by journal, and the facts that they took.

    `is_whole`: nothing of it is for a desk that is not ours now. Otherwise the message comes again, to whom it belongs.
    """

    desks: dict[int, Desk]
    facts: list[UsageFact]
    is_whole: bool = True


class Settling:
    """One process's reader of USAGE."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._following: dict[int, Subscription] = {}
        self._told: dict[str, list[str]] = defaultdict(list)
        self._to_ack: list[Delivery] = []
        self._is_scheduled = False

    async def follow(self, group: int) -> None:
        """Read the facts of a group of journals."""
        named = [
            name(journal) for journal in subjects.journals_of(group) for name in (subjects.usage, subjects.witness)
        ]
        self._following[group] = await self._room.bus.follow(
            "USAGE",
            named,
            [UsageFacts, Witness],
            self._take,
            durable=f"ledger-g{group}",
            ack_wait_s=ACK_WAIT_S,
            max_in_flight=IN_FLIGHT_MAX,
        )

    async def unfollow(self, group: int) -> None:
        """Stop reading a group."""
        subscription = self._following.pop(group, None)
        if subscription is not None:
            await subscription.stop()

    async def stop(self) -> None:
        """Stop reading, and acknowledge what was committed."""
        for group in list(self._following):
            await self.unfollow(group)
        await self._notify()

    async def _take(self, delivery: Delivery) -> None:
        if self._room.writer.is_full:
            await self._room.writer.settle_down()
        body = delivery.body
        taken = self._witness(body) if isinstance(body, Witness) else await self._facts(body)
        desks = taken.desks.values()
        _after_commits(desks, lambda: self._done(delivery, taken))
        for desk in desks:
            if desk.pending:
                self._room.writer.wake(desk, is_urgent=False)

    def _witness(self, witness: Witness) -> Taken:
        desk = self._room.desk_of(witness.account_id)
        if desk is None:
            return Taken({}, [], is_whole=False)
        desk.take(witness, self._room.now_us())
        return Taken({desk.journal: desk}, [])

    async def _facts(self, body: UsageFacts) -> Taken:
        taken = Taken({}, [])
        for fact in body.facts:
            desk = self._room.desk_of(fact.account_id)
            if desk is None or not await self._decided(desk, fact):
                taken.is_whole = False
                continue
            taken.desks[desk.journal] = desk
            taken.facts.append(fact)
        return taken

    async def _decided(self, desk: Desk, fact: UsageFact) -> bool:
        """Whether the fact was taken by this desk."""
        if is_cold(desk, fact, self._room.now_us() // 1000):
            return await self._cold(desk, fact)
        self._settle(desk, fact)
        return True

    def _settle(self, desk: Desk, fact: UsageFact) -> None:
        events = desk.take(fact, self._room.now_us())
        assert isinstance(events, list), "facts are never refused"
        if events:
            self._room.settled(desk, fact, events)

    async def _cold(self, desk: Desk, fact: UsageFact) -> bool:
        """The hold ended so long ago that only the journal remembers it. Whether the desk was still ours after that."""
        found = await asyncio.to_thread(find_ending, self._room.journal, desk.journal, fact.hold_id)
        if self._room.desk_of(fact.account_id) is not desk:
            return False
        events = compare(fact, found) if found else [conflict(fact, "unknown", "")]
        for event in events:
            desk.post(event, self._room.now_us())
        return True

    def _tell(self, facts: Sequence[UsageFact]) -> None:
        for fact in facts:
            if fact.outbox:
                self._told[fact.outbox].append(fact.hold_id)

    def _done(self, delivery: Delivery, taken: Taken) -> None:
        self._tell(taken.facts)
        if taken.is_whole:
            self._to_ack.append(delivery)
        if not self._is_scheduled:
            self._is_scheduled = True
            spawn(self._notify(), name="settled")

    async def _notify(self) -> None:
        """Tell outboxes what is settled, then acknowledge: everything here is committed."""
        self._is_scheduled = False
        told, self._told = self._told, defaultdict(list)
        for outbox, holds in told.items():
            self._room.bus.tell(subjects.settled(outbox), Settled(holds))
        deliveries, self._to_ack = self._to_ack, []
        for delivery in deliveries:
            crashpoint("ledger.before_usage_ack")
            await delivery.ack()


def _after_commits(desks: Collection[Desk], release: Callable[[], None]) -> None:
    """Call back once everything decided so far at all of these desks is durable."""
    left = len(desks)

    def one() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            release()

    for desk in desks:
        desk.after_commit(one)
    if not desks:
        release()


def is_cold(desk: Desk, fact: UsageFact, now_ms: int) -> bool:
    """Whether memory cannot tell how this hold ended."""
    state, hold = desk.state, fact.hold_id
    if hold in state.holds or hold in state.expired or state.ended(hold) is not None:
        return False
    try:
        return is_too_old(ids.ulid_ms(hold), now_ms)
    except ValueError:
        return False
