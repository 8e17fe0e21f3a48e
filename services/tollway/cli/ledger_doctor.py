"""What `tollway ledger doctor` looks at."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec
from sqlalchemy import Connection, func, select, text

from tollway import clock
from tollway.bus import BusError
from tollway.cli.errors import CommandError
from tollway.cli.journal_access import Access
from tollway.cli.place import Place
from tollway.ledger.copy_nats import NatsCopy
from tollway.ledger.durability import sync_fault
from tollway.ledger.journal.block import DamagedError, Head
from tollway.ledger.journal.reading import load
from tollway.ledger.journal.tables import BLOCK, CHECKPOINT, MEMBER, OWNER
from tollway.ledger.state import State
from tollway.wire.subjects import JOURNALS

Level = Literal["ok", "warn", "fail"]
CLOCK_MS_MAX: Final = 300_000
POSTGRESQL: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}
"""Settings without which an acknowledged commit may be lost. `remote_apply` and `remote_write` are as good."""
AS_GOOD: Final = {"synchronous_commit": ("on", "remote_apply", "remote_write")}


class Finding(msgspec.Struct, frozen=True):
    """One line."""

    level: Level
    what: str
    detail: str


def examine(found: Access) -> list[Finding]:
    """Every check, in the order of CHECKS."""
    return [finding for check in CHECKS for finding in check(found)]


def _database(found: Access) -> Iterator[Finding]:
    with found.journal.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        yield from _sqlite(connection) if is_sqlite else _postgresql(connection)


def _sqlite(connection: Connection) -> Iterator[Finding]:
    verdict = str(connection.execute(text("PRAGMA quick_check")).scalar())
    mode = str(connection.execute(text("PRAGMA journal_mode")).scalar())
    synchronous = int(connection.execute(text("PRAGMA synchronous")).scalar() or 0)
    yield Finding("ok" if verdict == "ok" else "fail", "journal file", verdict)
    is_durable = mode == "wal" and synchronous >= 2
    yield Finding("ok" if is_durable else "fail", "durability", f"{mode}, synchronous {synchronous}")


def _postgresql(connection: Connection) -> Iterator[Finding]:
    for name, wanted in POSTGRESQL.items():
        value = str(connection.execute(text(f"SHOW {name}")).scalar())  # noqa: S608,RUF100  names of ours
        is_well = value in AS_GOOD.get(name, (wanted,))
        yield Finding("ok" if is_well else "fail", name, value)
    checksums = str(connection.execute(text("SHOW data_checksums")).scalar())
    yield Finding("ok" if checksums == "on" else "warn", "data_checksums", checksums)
    standby = connection.execute(text("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")).scalar()
    yield Finding("ok" if standby else "warn", "synchronous standby", str(standby or "none: one disk holds the money"))
    theirs = connection.execute(select(func.extract("epoch", func.clock_timestamp()) * 1000)).scalar()
    drift = abs(int(theirs or 0) - clock.now_ms())
    yield Finding("ok" if drift < CLOCK_MS_MAX else "fail", "clock", f"{drift} ms from the database's")


def _owners(found: Access) -> Iterator[Finding]:
    with found.journal.engine.connect() as connection:
        members = {row.node: row for row in connection.execute(select(MEMBER))}
        owners = [row.node for row in connection.execute(select(OWNER.c.node))]
    free = sum(node not in members for node in owners)
    yield Finding("warn" if free or not owners else "ok", "ledgers", f"{len(members)} members, {free} groups unowned")


def _heads(found: Access) -> Iterator[Finding]:
    """Read models first: what a ledger writes meanwhile makes them look behind, never ahead."""
    marks = {journal: seq for journal, (seq, _) in found.views.watermarks().items()}
    with found.journal.engine.connect() as connection:
        grouped = select(BLOCK.c.journal, func.max(BLOCK.c.seq)).group_by(BLOCK.c.journal)
        heads: dict[int, int] = {row[0]: row[1] for row in connection.execute(grouped).all()}
    lag = sum(max(0, seq - marks.get(journal, 0)) for journal, seq in heads.items())
    ahead = [journal for journal, seq in marks.items() if seq > heads.get(journal, 0)]
    yield Finding("ok", "heads", f"{len(heads)} journals, {sum(heads.values())} blocks")
    if ahead:
        yield Finding("fail", "read models", f"know blocks that journals {ahead} have not: a journal was cut")
    else:
        yield Finding("ok" if lag < 1000 else "warn", "read models", f"{lag} blocks behind")


def _bus(found: Access) -> Iterator[Finding]:
    state = Place(found.settings.data_dir).load()
    port = state.ports.get("nats_monitor") if state else None
    url = found.settings.nats_monitor_url or (f"http://127.0.0.1:{port}" if port else "")
    fault = asyncio.run(sync_fault(url))
    yield Finding("fail" if fault else "ok", "bus", fault or ("syncs every message" if url else "no monitor known"))
    try:
        lag, differing = asyncio.run(_copy(found))
    except (BusError, CommandError) as unreachable:
        yield Finding("warn", "LEDGER stream", str(unreachable))
        return
    if differing:
        yield Finding("fail", "LEDGER stream", f"differs from the database in journals {differing}")
    else:
        yield Finding("ok" if lag < 1000 else "warn", "LEDGER stream", f"{lag} blocks behind")


async def _copy(found: Access) -> tuple[int, list[int]]:
    """How far the stream is behind, and journals in which it ends with a block that the database has not."""
    bus = await found.bus()
    try:
        copy, lag, differing = NatsCopy(bus), 0, list[int]()
        for journal in range(JOURNALS):
            last = await copy.last(journal)
            head = await asyncio.to_thread(found.journal.head, journal)
            block = await asyncio.to_thread(found.journal.block, journal, last.seq) if last.seq else None
            if last.seq and (block is None or block.hash != last.hash):
                differing.append(journal)
            lag += max(0, head.seq - last.seq)
        return lag, differing
    finally:
        await bus.drain()


def _holds(found: Access) -> Iterator[Finding]:
    """Replays everything: the open holds and the other side of every account are in no table."""
    oldest, count = 0, 0
    system: dict[str, int] = {}
    for journal in range(JOURNALS):
        try:
            state, _ = load(found.journal, journal, State(journal), Head())
        except DamagedError as fault:
            yield Finding("fail", "journal", str(fault))
            continue
        count += len(state.holds)
        overdue = [clock.now_ms() - hold.deadline for hold in state.holds.values()]
        oldest = max([oldest, *overdue])
        for name in state.system.__struct_fields__:
            system[name] = system.get(name, 0) + getattr(state.system, name)
    yield Finding("ok" if oldest < 120_000 else "warn", "open holds", f"{count}, oldest {oldest} ms past its deadline")
    yield Finding("ok", "clearing balances", ", ".join(f"{name} {value}" for name, value in system.items()))


def _checkpoints(found: Access) -> Iterator[Finding]:
    with found.journal.engine.connect() as connection:
        count, last = connection.execute(select(func.count(), func.max(CHECKPOINT.c.ts)).select_from(CHECKPOINT)).one()
    yield Finding("ok" if count else "warn", "checkpoints", f"{count}, last at {last or 'never'}")


CHECKS: Final[tuple[Callable[[Access], Iterator[Finding]], ...]] = (
    _database,
    _owners,
    _heads,
    _checkpoints,
    _holds,
    _bus,
)
