"""The ledger as a service: owns journals, serves their subjects, reads USAGE, relays, projects, keeps deadlines.

One process owns groups of journals (see `members`); for each it loads the state, starts an epoch and only then serves.
A process that finds its journal taken over says nothing more and ends at once: `FENCED_EXIT`.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from tollway import clock
from tollway.bus import Handles, Respond, Subscription
from tollway.bus.nats import NatsBus
from tollway.ledger.audit.auditor import Auditor
from tollway.ledger.audit.keys import BadKeyError, Signer, key_path, signer_of
from tollway.ledger.clockguard import GuardedClock
from tollway.ledger.copy_nats import NatsCopy
from tollway.ledger.deadlines import Deadlines
from tollway.ledger.desk import Desk
from tollway.ledger.durability import sync_fault
from tollway.ledger.filesystem import refuse_network
from tollway.ledger.handlers import HANDLERS, handlers_of
from tollway.ledger.journal.store import JournalStore, UnknownError
from tollway.ledger.journal.walkeeper import WalKeeper
from tollway.ledger.members import BEAT_S, SILENCE_S, Members, OtherHostError, Round
from tollway.ledger.opening import Opening
from tollway.ledger.relay import CopyDiffersError, Relay
from tollway.ledger.settle import Settling
from tollway.ledger.telling import Telling
from tollway.ledger.views.projector import Projector
from tollway.ledger.views.store import ViewStore
from tollway.ledger.writer import Committed, FencedError, Writer
from tollway.runtime import Edge
from tollway.runtime.process import EXIT_UNUSABLE
from tollway.settings import Settings, SettingsError
from tollway.store import migrate
from tollway.store.engine import open_engine
from tollway.tasks import spawn
from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.subjects import group_of, journal_of, journals_of
from tollway.wire.usage import UsageFact

FENCED_EXIT: Final = 75
"""EX_TEMPFAIL: the supervisor starts the process again, and it stands by."""
TROUBLE_S: Final = 10.0
"""Whoever is in trouble tries again and says so within this: what was not heard of for so long is over."""
REMEMBERED_JOURNALS_MAX: Final = 100_000
RETRY_HALTED_S: Final = 5.0
VIEWS_CHECK_S: Final = 5.0
CLOCK_CHECK_S: Final = 60.0
SYNC_CHECK_S: Final = 30.0
_BUSY: Final = refuse("ledger_busy", retry_after_s=1)
_STALLED: Final = refuse("ledger_unavailable", "The ledger's database does not answer.", retry_after_s=1)


def build_service(edge: Edge) -> "Ledger":
    """What `python -m tollway.ledger` runs."""
    return Ledger(edge)


class Ledger:
    """See the module."""

    HANDLERS: Sequence[Handles] = HANDLERS

    def __init__(self, edge: Edge, *, on_end: Callable[[int], None] | None = None, pid: int | None = None) -> None:
        self.edge = edge
        self.bus = edge.bus
        self._pid = pid
        self.desks: dict[int, Desk] = {}
        self.guard = GuardedClock()
        self.now_us = self.guard.now_us
        self.bus.believed_ms = lambda: self.guard.now_us() // 1000
        self.views: ViewStore | None = None
        self.halted: dict[int, str] = {}
        self._doubted: set[int] = set()
        self.telling = Telling(edge.telemetry)
        self._exit = on_end or _die
        self._journals: dict[str, int] = {}
        self._served: dict[int, Subscription] = {}
        self._owning: dict[int, asyncio.Task[None]] = {}
        self._is_stopping = False
        self._is_all_owned = False
        self._mine: frozenset[int] = frozenset()
        self._bus_fault = "the bus's durability was not checked yet"
        self._round_s = 0.0
        self._clock_s = 0.0
        self._trouble_kind = ""
        self._trouble_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[Any]] = []

    # -- starting

    async def start(self) -> None:
        """Open the databases, join the members, own what is free, serve it."""
        told = self.edge.settings
        if not told.database_url:
            refuse_network(told.data_dir)
        for part in ("journal", "views"):
            await asyncio.to_thread(_check_tables, told.database(part), part)
        self.journal = JournalStore(open_engine(told.database("journal"), is_writer=True))
        self.views = ViewStore(open_engine(told.database("views"), is_writer=True))
        self.writer = Writer(
            self.journal,
            on_committed=self._committed,
            on_fenced=self._fenced,
            on_trouble=self._trouble,
            on_timing=self.telling.commit,
        )
        self._wal = WalKeeper(self.journal.engine)
        self._wal.start()
        self.projector = Projector(self.journal, self.views, on_trouble=self._trouble)
        self.settling = Settling(self)
        self.deadlines = Deadlines(self)
        self.relay = self._relay()
        signer = _signer(told)
        self._opening = Opening(
            self.writer,
            self.relay,
            self.guard,
            signer.public,
            node=told.node,
            on_unfit=self._halt,
            on_trouble=self._trouble,
        )
        self.auditor = Auditor(
            self.journal,
            signer,
            heads=lambda: {journal: desk.head.seq for journal, desk in list(self.desks.items())},
            on_finding=self._found,
            on_trouble=self._trouble,
            directory=told.data_dir,
        )
        self._members = Members(self.journal, node=told.node, monotonic_s=clock.monotonic_s, pid=self._pid)
        await self.writer.run(self._members.join)
        await self._compare_clocks()
        await self._round()
        self._tasks = [
            spawn(self._rounds(), name="ledger members"),
            spawn(self.deadlines.run(), name="ledger deadlines"),
            spawn(self._retry(), name="ledger halted"),
            spawn(self._keep_views(), name="ledger views"),
            spawn(self._watch_bus(), name="ledger bus check"),
        ]
        self._show()
        await asyncio.gather(*self._owning.values())
        self.auditor.start()

    def _show(self) -> None:
        """Gauges, read when they are scraped."""
        gauge = self.edge.telemetry.gauge
        gauge("tollway_holds_open").read = lambda: sum(len(desk.state.holds) for desk in list(self.desks.values()))
        gauge("tollway_relay_lag").read = lambda: self.relay.lag if self.relay else 0
        gauge("tollway_views_lag").read = lambda: self.projector.lag

    def _relay(self) -> Relay | None:
        if not isinstance(self.bus, NatsBus):
            return None
        relay = Relay(self.journal, NatsCopy(self.bus), on_trouble=self._trouble, on_differs=self._differs)
        relay.start()
        return relay

    # -- membership

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self._round()
            if clock.monotonic_s() - self._clock_s > CLOCK_CHECK_S:
                await self._compare_clocks()

    async def _compare_clocks(self) -> None:
        """The database's clock is the second opinion that expiry needs."""
        self._clock_s = clock.monotonic_s()
        try:
            theirs: int | None = await self.writer.run(self._members.database_us)
        except SQLAlchemyError as fault:
            self._trouble(type(fault).__name__)
            return
        if theirs is not None:
            self.guard.compare(theirs)

    async def _round(self) -> None:
        """Beat; take what was gained, give up what is too much. Whatever was lost means that we are fenced."""
        started = clock.monotonic_s()
        try:
            found: Round = await self.writer.run(self._members.round)
        except OtherHostError as fault:
            self._unusable(str(fault))
            return
        except SQLAlchemyError as fault:
            self._trouble(type(fault).__name__)
            return
        self._round_s = started
        self._mine = found.mine
        self._is_all_owned = found.is_all_owned
        if found.lost:
            self._fenced()
            return
        for group in found.gained:
            self._owning[group] = spawn(self._own(group), name=f"ledger group {group}")
        if found.surplus and not self._is_stopping:
            await self._give_up(found.surplus)

    async def _own(self, group: int) -> None:
        """Load the group's journals, begin an epoch, serve."""
        await self._open(journals_of(group))
        await self.projector.reach({journal: desk.head.seq for journal, desk in self.desks.items()})
        await self._serve(group)

    async def _open(self, journals: Sequence[int]) -> None:
        """Own journals. One that is damaged, or behind its copy, stays closed, and is named."""
        try:
            desks = await self._opening.open(journals, doubted=self._doubted)
        except FencedError:
            self._fenced()
            return
        for desk in desks:
            desk.on_broken = self._broken
            if self.relay is not None:
                await self.relay.catch_up(desk.journal)
            self.desks[desk.journal] = desk
            self.halted.pop(desk.journal, None)
            self._doubted.discard(desk.journal)
        self.telling.halted(len(self.halted))

    async def _retry(self) -> None:
        """Journals that were halted open by themselves once they are repaired."""
        while True:
            await asyncio.sleep(RETRY_HALTED_S)
            await self.reopen()

    async def reopen(self) -> None:
        """Open halted journals that are fit again."""
        if journals := [journal for journal in self.halted if group_of(journal) in self._mine]:
            await self._open(journals)

    async def _keep_views(self) -> None:
        """Read models that an operator emptied are filled again, also those of accounts to which nothing happens."""
        while True:
            await asyncio.sleep(VIEWS_CHECK_S)
            await self.projector.reach({journal: desk.head.seq for journal, desk in self.desks.items()})

    async def _serve(self, group: int) -> None:
        handlers = [handles for journal in journals_of(group) for handles in handlers_of(journal)]
        self._served[group] = await self.bus.serve(handlers, self, queue="")
        await self.settling.follow(group)

    async def _give_up(self, groups: Sequence[int]) -> None:
        """Hand groups to another member: take nothing new, commit what is pending, then let go."""
        for group in groups:
            await self._owning[group]
            await self._served.pop(group).stop()
            await self.settling.unfollow(group)
        for journal in (journal for group in groups for journal in journals_of(group)):
            self.desks.pop(journal, None)
            if self.relay is not None:
                self.relay.disown(journal)
        await self.writer.settle_down()
        await self.writer.run(lambda: self._members.release(tuple(groups)))

    # -- what handlers ask

    def desk_of(self, account_id: str) -> Desk | None:
        """The desk of an account's journal, if it is ours."""
        journal = self._journals.get(account_id)
        if journal is None:
            if len(self._journals) > REMEMBERED_JOURNALS_MAX:
                self._journals.clear()
            journal = self._journals[account_id] = journal_of(account_id)
        return self.desks.get(journal)

    @property
    def is_silent(self) -> bool:
        """Whether another process may own our journals by now: then nothing is said that rests on memory alone."""
        return self._is_stopping or self.writer.is_fenced or clock.monotonic_s() - self._round_s > SILENCE_S

    def is_mute(self, respond: Respond) -> bool:
        """Silent; but while our database does not answer, whoever asks hears that nothing was decided."""
        if not self.is_silent:
            return False
        if self.writer.is_stalled and not self.writer.is_fenced:
            respond(_STALLED)
        return True

    @property
    def trouble(self) -> Refusal | None:
        """Why no new money can be decided now."""
        if self.writer.is_stalled:
            return _STALLED
        return _BUSY if self.writer.is_full else None

    def count_hold(self, outcome: str) -> None:
        """Count a decision on a hold."""
        self.telling.hold(outcome)

    def traced(self, command: Any, context: Context, respond: Respond, *, is_repeat: bool) -> Respond:
        """A reply that ends the command's span."""
        return self.telling.traced(command, context, respond, is_repeat=is_repeat)

    def settled(self, desk: Desk, fact: UsageFact, events: list[Any]) -> None:
        """Count and trace what a fact did."""
        self.telling.settled(desk, fact, events)

    # -- what the writer and others report

    def _committed(self, committed: list[Committed]) -> None:
        self._trouble_kind = ""
        self.projector.feed(committed)
        if self.relay is not None:
            self.relay.feed(committed)

    def _trouble(self, kind: str) -> None:
        """Something outside failed; called from any thread, again while it lasts. One line per kind and trouble."""
        is_over = clock.monotonic_s() - self._trouble_s > TROUBLE_S
        self._trouble_s = clock.monotonic_s()
        if kind != self._trouble_kind or is_over:
            self._trouble_kind = kind
            self.edge.telemetry.log("error", "ledger_trouble", error=kind)

    def _found(self, journal: int, why: str) -> None:
        """The auditor found something; it tells so from its thread."""
        self._loop.call_soon_threadsafe(self._condemn, journal, why)

    def _condemn(self, journal: int, why: str) -> None:
        """What the auditor found may lie before every snapshot: only a look at all of the journal takes it back."""
        self.telling.found()
        self._doubted.add(journal)
        self._halt(journal, why)

    def _broken(self, desk: Desk, fault: Exception) -> None:
        """A bug stopped a decision halfway: the journal is read again from its log, which has nothing of it."""
        self.telling.bug(fault)
        self._halt(desk.journal, f"a decision could not be carried out ({type(fault).__name__})")

    def _halt(self, journal: int, why: str) -> None:
        """Nothing more is granted from this journal. One line, until the reason is another."""
        self.desks.pop(journal, None)
        if self.relay is not None:
            self.relay.disown(journal)
        if self.halted.get(journal) == why:
            return
        self.halted[journal] = why
        self.telling.halted(len(self.halted))
        self.edge.telemetry.log("error", "ledger_halted", journal=journal, reason=why)

    def _differs(self, fault: CopyDiffersError) -> None:
        """The stream knows more than the database: stop before the next grant."""
        self._halt(fault.journal, str(fault))

    def _fenced(self) -> None:
        self.writer.is_fenced = True
        self.desks.clear()
        self.edge.telemetry.log("error", "ledger_fenced", node=self.edge.settings.node)
        self.edge.telemetry.flush()
        self._exit(FENCED_EXIT)

    def _unusable(self, why: str) -> None:
        """Going on would do harm and starting again will not help."""
        self.edge.telemetry.log("error", "ledger_unusable", reason=why)
        self.edge.telemetry.flush()
        self._exit(EXIT_UNUSABLE)

    async def _watch_bus(self) -> None:
        while True:
            self._bus_fault = await sync_fault(self.edge.settings.nats_monitor_url)
            await asyncio.sleep(SYNC_CHECK_S if not self._bus_fault else 1.0)

    def not_ready(self) -> tuple[str, ...]:
        """What keeps money from being served."""
        reasons = [f"journal {journal} is halted: {why}" for journal, why in sorted(self.halted.items())]
        if not self._is_all_owned:
            reasons.append("some journals are not owned by any ledger yet")
        if self._bus_fault:
            reasons.append(self._bus_fault)
        is_troubled = self._trouble_kind and clock.monotonic_s() - self._trouble_s < TROUBLE_S
        if self.writer.is_stalled or is_troubled:
            reasons.append(f"the ledger is in trouble: {self._trouble_kind or 'a commit takes long'}")
        if not self.guard.may_expire:
            reasons.append("the clock jumped: credit does not expire until it is right again")
        return tuple(reasons)

    # -- ending

    async def drain(self) -> None:
        """Take nothing new, commit, publish, project."""
        await self.settling.stop()
        await self.writer.settle_down()
        if self.relay is not None:
            await self.relay.flush()
        self._is_stopping = True

    async def stop(self) -> None:
        """Give the journals up and let go of everything."""
        self._is_stopping = True
        tasks = [*self._tasks, *self._owning.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not hasattr(self, "writer"):
            return
        await self.settling.stop()
        await asyncio.to_thread(self.auditor.stop)
        if self.relay is not None:
            await self.relay.stop()
        await asyncio.to_thread(self.projector.stop)
        if not self.writer.is_fenced:
            await self.writer.settle_down()
            await self._leave()
        await self.writer.run(self._members.close)
        await asyncio.to_thread(self.writer.stop)
        await asyncio.to_thread(self._wal.stop)
        self.journal.engine.dispose()
        if self.views is not None:
            self.views.engine.dispose()

    async def _leave(self) -> None:
        try:
            await self.writer.run(self._members.leave)
        except (SQLAlchemyError, UnknownError) as fault:
            self._trouble(type(fault).__name__)


def _check_tables(url: str, part: Any) -> None:
    """Raise SettingsError unless the tables are those of this version."""
    try:
        current, wanted = migrate.current(url, part), migrate.newest(part)
    except SQLAlchemyError as fault:
        raise SettingsError(f"the {part} database does not answer ({type(fault).__name__})") from None
    if current != wanted:
        raise SettingsError(f"the {part} tables are at {current}, this version needs {wanted}: run 'tollway migrate'")


def _signer(told: Settings) -> Signer:
    """The auditor's key. Raises SettingsError."""
    path = key_path(told.data_dir, told.environ)
    try:
        return signer_of(path)
    except (OSError, BadKeyError) as fault:
        raise SettingsError(f"cannot use the auditor's key: {fault}") from None


def _die(code: int) -> None:
    """End at once: no destructor, no drain, no reply."""
    os._exit(code)
