"""A journal with a past: requests that were held and settled, written as the ledger writes them, and read back."""

import time
from typing import Final

import msgspec

from benchmarks.ledger_room import CREDIT_NUSD, KEY, usage_fact
from tollway import clock
from tollway.ledger.desk import Desk
from tollway.ledger.journal.block import Block, Head, chain, head_of
from tollway.ledger.journal.reading import load
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.state import State
from tollway.wire.credit import GrantCredit, OpenHold
from tollway.wire.subjects import journal_of

ACCOUNTS: Final = 100
STEP_US: Final = 5_000
"""Between requests: 200 a second."""
REQUESTS_PER_BLOCK: Final = 16
BLOCKS_PER_APPEND: Final = 64
HOLD_NUSD: Final = 10_000_000


class Replay(msgspec.Struct, frozen=True):
    """A start from the first block: verified, decoded, applied."""

    events: int
    blocks: int
    wall_s: float
    cpu_s: float

    @property
    def events_per_s(self) -> float:
        """By the clock on the wall."""
        return self.events / self.wall_s

    @property
    def events_per_cpu_s(self) -> float:
        """By the process's CPU: what a machine without other work would show."""
        return self.events / self.cpu_s


def accounts_of(journal: int) -> list[str]:
    """Accounts of one journal."""
    names = (f"acc_h{number}" for number in range(1_000_000))
    mine = (name for name in names if journal_of(name) == journal)
    return [next(mine) for _ in range(ACCOUNTS)]


def write_history(store: JournalStore, journal: int, events: int) -> None:
    """Append a past of at least so many events, which ended just now."""
    accounts = accounts_of(journal)
    desk = Desk(journal, State(journal), Head(), epoch=1)
    now_us = clock.now_ns() // 1000 - (events // 2 + 10) * STEP_US
    for account in accounts:
        desk.take(GrantCredit(account, CREDIT_NUSD, "promotional", "benchmarks", "past", "b"), now_us)
    blocks: list[Block] = []
    number = 0
    while desk.pending or desk.state.events < events:
        for _ in range(REQUESTS_PER_BLOCK):
            number, now_us = number + 1, now_us + STEP_US
            _request(desk, accounts[number % ACCOUNTS], number, now_us)
        blocks += _taken(desk)
        if len(blocks) >= BLOCKS_PER_APPEND or desk.state.events >= events:
            store.append(blocks)
            blocks.clear()


def _taken(desk: Desk) -> list[Block]:
    """What waits at the desk, as blocks."""
    parts = [(part.ts, part.events) for part in desk.hand_over()]
    blocks = list(chain(desk.journal, desk.head, desk.epoch, parts))
    desk.committed()
    desk.head = head_of(blocks[-1])
    return blocks


def _request(desk: Desk, account: str, number: int, now_us: int) -> None:
    hold, now_ms = f"rq_{number:026d}", now_us // 1000
    desk.take(OpenHold(hold, account, KEY, HOLD_NUSD, now_ms + 60_000, "2026-11-20", ("openai:gpt-4o",)), now_us)
    desk.take(usage_fact(hold, account, now_ms), now_us)


def read_back(store: JournalStore, journal: int) -> tuple[Desk, Replay]:
    """A start: the state from the first block on, at a desk that goes on from there."""
    began, cpu = time.perf_counter(), time.process_time()
    state, head = load(store, journal)
    replay = Replay(head.events, head.seq, time.perf_counter() - began, time.process_time() - cpu)
    return Desk(journal, state, head, epoch=1), replay
