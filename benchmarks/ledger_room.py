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
from tollway.wire.plan import Price
from tollway.wire.subjects import JOURNALS, journal_of
from tollway.wire.usage import Attempt, Usage, UsageFact

KEY: Final = "aigk_bench"
CREDIT_NUSD: Final = 10**15
HOLD_NUSD: Final = 4_000_000
PRICE: Final = Price(input=2_500_000_000, output=10_000_000_000, cache_read=1_250_000_000)
DEADLINE_MS: Final = 600_000
WARM_SHARE: Final = 0.2
Desks: TypeAlias = dict[int, Desk]


class Run(msgspec.Struct, frozen=True):
    """One load: durable holds a second, milliseconds from command to reply, CPU of the process per hold.

    `is_settling`: each hold was settled from a usage fact, too, and that is durable as well.
    """

    is_settling: bool
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
        self.guard = GuardedClock()
        self.now_us = self.guard.now_us
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


def usage_fact(hold: str, account: str, now_ms: int) -> UsageFact:
    """What an adapter tells of an ordinary answer."""
    served = Attempt(
        id="00f067aa0ba902b7",
        number=1,
        provider="openai",
        provider_name="OpenAI",
        model="gpt-4o",
        model_name="GPT-4o",
        key_source="managed",
        started_at_ms=now_ms - 900,
        duration_ms=900,
        retry_action="succeeded",
        completion="succeeded",
        is_served=True,
        status=200,
    )
    return UsageFact(
        hold_id=hold,
        account_id=account,
        access_key_id=KEY,
        outbox="ob",
        outcome="complete",
        certainty="reported",
        usage=Usage(tokens_input=412, tokens_output=180, tokens_cache_read=128),
        attempts=[served],
        ended_at_ms=now_ms,
        is_managed=True,
        price=PRICE,
        price_version="2026-11-20",
    )


async def _grant(room: Room, accounts: Sequence[str]) -> None:
    for account in accounts:
        desk = room.desk_of(account)
        assert desk is not None, "the benchmark owns every journal it uses"
        desk.take(GrantCredit(account, CREDIT_NUSD, "promotional", "benchmarks", ids.new_id("b"), "b"), room.now_us())
        room.writer.wake(desk)
    await room.writer.settle_down()


async def _caller(room: Any, account: str, until: float, taken: list[float], *, is_settling: bool) -> None:
    """Ask for one hold after the other, each once the last one is durable. Nobody waits for a settlement."""
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
        if is_settling:
            desk = room.desk_of(account)
            desk.take(usage_fact(command.hold_id, account, clock.now_ms()), room.now_us())
            room.writer.wake(desk, is_urgent=False)


async def _load(
    room: Room, accounts: Sequence[str], concurrency: int, seconds: float, *, is_settling: bool
) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    callers = (
        _caller(room, accounts[n % len(accounts)], until, taken, is_settling=is_settling) for n in range(concurrency)
    )
    await asyncio.gather(*callers)
    await room.writer.settle_down()
    return taken


async def _measure(
    store: JournalStore, desks: Desks, accounts: Sequence[str], concurrency: int, seconds: float, *, is_settling: bool
) -> Run:
    room = Room(store, desks)
    keeper = WalKeeper(store.engine)
    keeper.start()
    await _grant(room, accounts)
    await _load(room, accounts, concurrency, seconds * WARM_SHARE, is_settling=is_settling)
    began, cpu = time.perf_counter(), time.process_time()
    taken = sorted(await _load(room, accounts, concurrency, seconds, is_settling=is_settling))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await asyncio.to_thread(room.writer.stop)
    await asyncio.to_thread(keeper.stop)
    figures = (len(taken) / took, quantile_ms(taken, 0.5), quantile_ms(taken, 0.99), cpu / len(taken) * 1e6)
    return Run(is_settling, concurrency, len(accounts), len(taken), *figures)


def new_desks() -> Desks:
    """A desk for every journal of an empty database."""
    return {journal: Desk(journal, State(journal), Head(), epoch=1) for journal in range(JOURNALS)}


def measure(
    store: JournalStore,
    desks: Desks,
    accounts: Sequence[str],
    *,
    concurrency: int,
    seconds: float,
    is_settling: bool = False,
) -> Run:
    """Load these accounts for so long, after a fifth of it to get warm; the desks go on from run to run."""
    return uvloop.run(_measure(store, desks, accounts, concurrency, seconds, is_settling=is_settling))


def sqlite_url(directory: Path) -> str:
    """Of a journal in a directory."""
    return f"sqlite:///{directory / 'journal.db'}"
