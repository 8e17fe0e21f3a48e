"""Which ledger process writes which journals: groups of eight, claimed in the journal's database.

This only avoids needless fights; that two writers never both append is the block key's doing. A member that works
raises its beat; one whose beat stands still for LEASE_S (watched with the watcher's own monotonic clock, so wall
clocks never matter), or whose process is known to be dead, loses its groups to whoever claims them first.

On PostgreSQL members share the groups evenly. On SQLite the first takes all and the others stand by; members on two
hosts are refused, since SQLite's locks do not reach over a network.
"""

import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from tollway.ledger.journal.store import JournalStore
from tollway.ledger.journal.tables import MEMBER, OWNER
from tollway.store.engine import is_sqlite
from tollway.wire.subjects import JOURNAL_GROUPS

LOCK_KEY: Final = 0x6C656467  # "ledg"
BEAT_S: Final = 1.0
LEASE_S: Final = 5.0
"""A beat that stands still this long is a dead member's."""
SILENCE_S: Final = 4.0
"""A member that could not beat for this long stops answering: less than LEASE_S, so never beside its successor."""


class Member(msgspec.Struct, frozen=True):
    """A row of the table."""

    node: str
    host: str
    pid: int
    beat: int


class OtherHostError(Exception):
    """SQLite is in use by a ledger on another host. The message says what to do."""


class Round(msgspec.Struct, frozen=True):
    """What one round of membership found: groups that are mine now, those gained, those to give up,
    and those that somebody took (then this process is fenced)."""

    mine: frozenset[int]
    gained: tuple[int, ...]
    surplus: tuple[int, ...]
    lost: tuple[int, ...]
    is_all_owned: bool


class Members:
    """One process's membership. Every method runs on the writing thread."""

    def __init__(
        self,
        store: JournalStore,
        *,
        node: str,
        monotonic_s: Callable[[], float],
        host: str | None = None,
        pid: int | None = None,
    ) -> None:
        self._engine = store.engine
        self._is_sqlite = is_sqlite(str(store.engine.url))
        self._monotonic_s = monotonic_s
        self._me = Member(node, host or host_name(), pid or os.getpid(), 0)
        self._seen: dict[str, tuple[int, float]] = {}
        self._mine: frozenset[int] = frozenset()
        self._kept: Connection | None = None

    def join(self) -> None:
        """Appear in the table. Raises SQLAlchemyError."""
        with self._turn() as connection:
            self._appear(connection)
            known = {group for (group,) in connection.execute(select(OWNER.c.grp))}
            for group in set(range(JOURNAL_GROUPS)) - known:
                connection.execute(insert(OWNER).values(grp=group, node=None, term=0))

    def close(self) -> None:
        """Let go of the connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    @contextmanager
    def _turn(self) -> Generator[Connection]:
        """A transaction in which no other member acts."""
        connection, self._kept = self._kept or self._engine.connect(), None
        is_done = False
        try:
            with connection.begin():
                if not self._is_sqlite:
                    connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
                yield connection
            is_done = True
        finally:
            if is_done:
                self._kept = connection
            else:
                connection.invalidate()
                connection.close()

    def _appear(self, connection: Connection) -> None:
        row = insert(MEMBER).values(node=self._me.node, host=self._me.host, pid=self._me.pid, beat=1)
        connection.execute(row)

    def _members(self, connection: Connection) -> dict[str, Member]:
        rows = connection.execute(select(MEMBER.c.node, MEMBER.c.host, MEMBER.c.pid, MEMBER.c.beat))
        return {row.node: Member(row.node, row.host, row.pid, row.beat) for row in rows}

    def database_us(self) -> int | None:
        """What the database's clock shows, Unix microseconds; None where it is this host's. Raises SQLAlchemyError."""
        if self._is_sqlite:
            return None
        with self._engine.connect() as connection:
            seconds = connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
        return int(seconds * 1_000_000)

    def round(self) -> Round:
        """Beat, bury the dead, claim what is free and fair. Raises OtherHostError, SQLAlchemyError."""
        with self._turn() as connection:
            beat = update(MEMBER).where(MEMBER.c.node == self._me.node).values(beat=MEMBER.c.beat + 1)
            if not connection.execute(beat).rowcount:
                self._appear(connection)
            members = self._members(connection)
            alive = {node for node, member in members.items() if self._is_alive(member)}
            self._bury(connection, set(members) - alive)
            owners = {row.grp: row.node for row in connection.execute(select(OWNER.c.grp, OWNER.c.node))}
            gained = self._claim(connection, owners, alive)
        mine = frozenset(group for group, node in owners.items() if node == self._me.node)
        lost, self._mine = tuple(sorted(self._mine - mine)), mine
        is_all_owned = all(node in alive for node in owners.values())
        return Round(mine, gained, self._surplus(mine, alive), lost, is_all_owned)

    def _is_alive(self, member: Member) -> bool:
        if member.node == self._me.node:
            return True
        if member.host == self._me.host and (member.pid == self._me.pid or not is_running(member.pid)):
            return False  # our own number was our predecessor's, in a container that was started again
        now = self._monotonic_s()
        beat, since = self._seen.get(member.node, (-1, now))
        if beat != member.beat:
            self._seen[member.node] = (member.beat, now)
            if beat != -1:
                self._refuse_other_host(member)
            return True
        return now - since < LEASE_S

    def _refuse_other_host(self, member: Member) -> None:
        """A live member elsewhere, on SQLite: two hosts would corrupt the file."""
        if self._is_sqlite and member.host != self._me.host:
            raise OtherHostError(
                f"a ledger on {member.host} uses this SQLite journal: SQLite serves one host, use PostgreSQL"
            )

    def _bury(self, connection: Connection, dead: set[str]) -> None:
        for node in sorted(dead):
            connection.execute(update(OWNER).where(OWNER.c.node == node).values(node=None))
            connection.execute(delete(MEMBER).where(MEMBER.c.node == node))
            self._seen.pop(node, None)

    def _claim(self, connection: Connection, owners: dict[int, str | None], alive: set[str]) -> tuple[int, ...]:
        """Take free groups up to the fair share; `owners` is brought up to date."""
        wanted = self._share(alive) - sum(node == self._me.node for node in owners.values())
        free = [group for group, node in sorted(owners.items()) if node is None or node not in alive]
        gained: list[int] = []
        for group in free[: max(0, wanted)]:
            claim = update(OWNER).where(OWNER.c.grp == group, _held_by(owners[group]))
            if connection.execute(claim.values(node=self._me.node, term=OWNER.c.term + 1)).rowcount:
                owners[group] = self._me.node
                gained.append(group)
        return tuple(gained)

    def _share(self, alive: set[str]) -> int:
        """How many groups this member should have: all of them on SQLite, where others only stand by."""
        return JOURNAL_GROUPS if self._is_sqlite else -(-JOURNAL_GROUPS // max(1, len(alive)))

    def _surplus(self, mine: frozenset[int], alive: set[str]) -> tuple[int, ...]:
        excess = len(mine) - self._share(alive)
        return tuple(sorted(mine))[len(mine) - excess :] if excess > 0 else ()

    def release(self, groups: tuple[int, ...]) -> None:
        """Give groups up, after their desks are empty."""
        with self._turn() as connection:
            mine = OWNER.c.node == self._me.node
            connection.execute(update(OWNER).where(OWNER.c.grp.in_(groups), mine).values(node=None))
        self._mine -= set(groups)

    def leave(self) -> None:
        """Disappear from the table and give everything up."""
        with self._turn() as connection:
            self._bury(connection, {self._me.node})


def _held_by(node: str | None) -> ColumnElement[bool]:
    return OWNER.c.node.is_(None) if node is None else OWNER.c.node == node


def host_name() -> str:
    """This host, or this container: process numbers mean something within it only."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip()[:8] if boot.exists() else ''}"


def is_running(pid: int) -> bool:
    """Whether a process of this host has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
