"""Repairs a journal from its copy: blocks that the database lost, or has otherwise, come back as they were written.

Only verified blocks are taken, only where the copy's chain goes on from what the database has, and the repair itself
is an event. A ledger that owns the journal must have halted it (it does so by itself).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, insert, text, update

from tollway.ledger import events as ev
from tollway.ledger.journal.block import Block, DamagedError, Head, build, check, events_of, head_of
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.journal.tables import BLOCK


class Plan(msgspec.Struct):
    """What a repair of one journal would do. `refused`: why it cannot."""

    journal: int
    missing: list[Block] = []
    replaced: list[Block] = []
    refused: str = ""

    @property
    def is_empty(self) -> bool:
        """Nothing to do."""
        return not self.missing and not self.replaced and not self.refused


def plan(store: JournalStore, journal: int, copied: Sequence[Block]) -> Plan:
    """Compare a journal with its copy, block by block. Raises UnknownError."""
    made = Plan(journal)
    head = Head()
    for block in copied:
        try:
            check(block, head)
            events_of(block)
        except DamagedError as fault:
            made.refused = f"the copy cannot be trusted: {fault}"
            return made
        head = head_of(block)
        stored = store.block(journal, block.seq)
        if stored is None:
            made.missing.append(block)
        elif stored != block:
            made.replaced.append(block)
    _refuse_fork(store, made, head)
    return made


def _refuse_fork(store: JournalStore, made: Plan, head: Head) -> None:
    """After the repair the journal must be one chain: what it has beyond the copy has to link to it."""
    after = store.read(made.journal, after=head.seq, limit=1)
    if not after or not (made.missing or made.replaced):
        return
    if after[0].prev_hash != head.hash:
        made.refused = (
            f"the database has block {after[0].seq} that does not follow the copy's block {head.seq}: "
            "two histories; restore the right one from a backup"
        )


def carry_out(store: JournalStore, made: Plan, *, at_us: int, by: str) -> Head:
    """Do it, in one transaction, and write down that it was done. Raises SQLAlchemyError, DamagedError."""
    assert not made.refused, "a refused repair is not carried out"
    with store.engine.begin() as connection:
        if made.replaced:
            _replace(connection, made.replaced)
        for block in made.missing:
            connection.execute(insert(BLOCK).values(_row(block)))
    return _note(store, made, at_us=at_us, by=by)


def _note(store: JournalStore, made: Plan, *, at_us: int, by: str) -> Head:
    """`epoch.started` fences whoever still writes, `log.repaired` says what happened."""
    head = store.head(made.journal)
    touched = [*made.replaced, *made.missing]
    started = ev.EpochStarted(epoch=head.epoch + 1, writer=by, head=head.hash.hex())
    repaired = ev.LogRepaired(
        first_seq=min(block.seq for block in touched),
        last_seq=max(block.seq for block in touched),
        copy="stream",
        head=head.hash.hex(),
    )
    block = build(made.journal, head, epoch=started.epoch, ts=max(head.ts + 1, at_us), events=[started, repaired])
    store.append([block])
    return head_of(block)


def _row(block: Block) -> dict[str, Any]:
    return msgspec.structs.asdict(block)


_TRIGGERS: Final[Mapping[str, tuple[Sequence[str], Sequence[str]]]] = {
    "sqlite": (
        ("DROP TRIGGER IF EXISTS ledger_block_no_update",),
        (
            "CREATE TRIGGER ledger_block_no_update BEFORE UPDATE ON ledger_block "
            "BEGIN SELECT RAISE(ABORT, 'ledger_block is append only'); END",
        ),
    ),
    "postgresql": (
        ("ALTER TABLE ledger_block DISABLE TRIGGER ledger_block_no_change",),
        ("ALTER TABLE ledger_block ENABLE TRIGGER ledger_block_no_change",),
    ),
}
"""How the table is opened and closed for the one repair that changes rows; both happen in its transaction."""


def _replace(connection: Connection, blocks: Sequence[Block]) -> None:
    opening, closing = _TRIGGERS[connection.dialect.name]
    for statement in opening:
        connection.execute(text(statement))
    for block in blocks:
        mine = (BLOCK.c.journal == block.journal) & (BLOCK.c.seq == block.seq)
        connection.execute(update(BLOCK).where(mine).values(_row(block)))
    for statement in closing:
        connection.execute(text(statement))
