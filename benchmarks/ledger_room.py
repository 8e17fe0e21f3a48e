"""The ledger's own room for a benchmark: its handler, desks, writer and journal, with callers in the same process.

No bus: what is measured is the decision, the block, the commit and the way back to whoever asked. Telemetry counts
nothing and nobody projects or relays, so that the database is alone with its journal.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import uvloop

from benchmarks.driver import quantile_ms
from tollway import clock, ids
from tollway.bus import NOTHING, Respond
from tollway.ledger.clockguard import GuardedClock
from tollway.ledger.desk import Desk
from tollway.ledger.handlers import open_hold
from tollway.ledger.journal.block import Head
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.journal.walkeeper import WalKeeper
from tollway.ledger.state import State
from tollway.ledger.writer import Writer
from tollway.store import migrate
from tollway.store.engine import open_engine
from tollway.wire.credit import GrantCredit, HoldOpened, OpenHold
from tollway.wire.subjects import JOURNALS, journal_of

KEY: Final = "aigk_bench"
CREDIT_NUSD: Final = 10**15
HOLD_NUSD: Final = 1_000
DEADLINE_MS: Final = 600_000
WARM_SHARE: Final = 0.2
Desks: TypeAlias = dict[int, Desk]


class Run(msgspec.Struct, frozen=True):
    """One load: durable holds a second, milliseconds from command to reply, CPU of the process per hold."""

    concurrency: int
    accounts: int
    holds: int
    holds_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


class NotEmpty(Exception):  # noqa: N818  it is what was found
    """The database has a journal already: a benchmark would fill it with its own."""


def open_journal(url: str) -> JournalStore:
    """An empty journal at a URL, with its tables made. Raises NotEmpty."""
    migrate.upgrade(url, "journal")
    store = JournalStore(open_engine(url, is_writer=True))
    if any(store.head(journal).seq for journal in range(JOURNALS)):
        raise NotEmpty(f"{store.engine.url!r} has a ledger's journal in it: name an empty database")
    return store


def close_journal(store: JournalStore) -> None:
    """Let go of it."""
    store.let_go()
    store.engine.dispose()


def accounts_of_journals(count: int) -> list[str]:
    """One account in each of so many journals."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        found.setdefault(journal_of(name := f"acc_{number}"), name)
        number += 1
    return list(found.values())[:count]


class Room:
    """What the handler of holds asks of its service."""

    def __init__(self, store: JournalStore, desks: Desks) -> None:
        self.desks = desks
        self.trouble = None
        self.refused = 0
        self.now_us = GuardedClock().now_us
        self.writer = Writer(
            store,
            on_committed=lambda _: None,
            on_fenced=lambda: None,
            on_trouble=lambda _: None,
            on_timing=lambda _took, _blocks: None,
        )

    def desk_of(self, account_id: str) -> Desk | None:
        """Of the account's journal."""
        return self.desks.get(journal_of(account_id))

    def is_mute(self, respond: Respond) -> bool:  # noqa: ARG002  it takes the arguments of the real one
        """Never: nobody takes over."""
        return False

    def count_hold(self, outcome: str) -> None:  # noqa: ARG002
        """A hold was refused, which no benchmark wants."""
        self.refused += 1

    def traced(self, command: Any, context: Any, respond: Respond, *, is_repeat: bool) -> Respond:  # noqa: ARG002
        """No spans."""
        return respond


async def _grant(room: Room, accounts: Sequence[str]) -> None:
    for account in accounts:
        desk = room.desk_of(account)
        assert desk is not None, "the benchmark owns every journal it uses"
        desk.take(GrantCredit(account, CREDIT_NUSD, "promotional", "benchmarks", ids.new_id("b"), "b"), room.now_us())
        room.writer.wake(desk)
    await room.writer.settle_down()


async def _caller(room: Any, account: str, until: float, taken: list[float]) -> None:
    """Ask for one hold after the other, each once the last one is durable."""
    loop = asyncio.get_running_loop()
    while time.perf_counter() < until:
        deadline = clock.now_ms() + DEADLINE_MS
        command = OpenHold(ids.new_id("rq"), account, KEY, HOLD_NUSD, deadline, "v1", ("gpt-4o",))
        answered: asyncio.Future[Any] = loop.create_future()
        began = time.perf_counter()
        open_hold(room, command, NOTHING, answered.set_result)
        said = await answered
        taken.append(time.perf_counter() - began)
        assert isinstance(said, HoldOpened), said


async def _load(room: Room, accounts: Sequence[str], concurrency: int, seconds: float) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(_caller(room, accounts[n % len(accounts)], until, taken) for n in range(concurrency)))
    return taken


async def _measure(store: JournalStore, desks: Desks, accounts: Sequence[str], concurrency: int, seconds: float) -> Run:
    room = Room(store, desks)
    keeper = WalKeeper(store.engine)
    keeper.start()
    await _grant(room, accounts)
    await _load(room, accounts, concurrency, seconds * WARM_SHARE)
    began, cpu = time.perf_counter(), time.process_time()
    taken = sorted(await _load(room, accounts, concurrency, seconds))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await asyncio.to_thread(room.writer.stop)
    await asyncio.to_thread(keeper.stop)
    figures = (len(taken) / took, quantile_ms(taken, 0.5), quantile_ms(taken, 0.99), cpu / len(taken) * 1e6)
    return Run(concurrency, len(accounts), len(taken), *figures)


def new_desks() -> Desks:
    """A desk for every journal of an empty database."""
    return {journal: Desk(journal, State(journal), Head(), epoch=1) for journal in range(JOURNALS)}


def measure(store: JournalStore, desks: Desks, accounts: Sequence[str], *, concurrency: int, seconds: float) -> Run:
    """Load these accounts for so long, after a fifth of it to get warm; the desks go on from run to run."""
    return uvloop.run(_measure(store, desks, accounts, concurrency, seconds))


def sqlite_url(directory: Path) -> str:
    """Of a journal in a directory."""
    return f"sqlite:///{directory / 'journal.db'}"
