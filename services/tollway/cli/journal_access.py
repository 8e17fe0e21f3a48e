"""How the ledger's commands reach the journal, its read models and its copy: embedded or on a server."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

import typer
from nats import errors as nats_errors
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tollway import clock, ids, settings
from tollway.bus.nats import NatsBus, connect
from tollway.cli.embedded_nats import LOOPBACK
from tollway.cli.errors import CommandError
from tollway.cli.place import Place
from tollway.ledger.audit.copy_reading import messages
from tollway.ledger.audit.keys import key_path
from tollway.ledger.journal.block import Block
from tollway.ledger.journal.store import READ_BLOCKS, JournalStore
from tollway.ledger.views.store import ViewStore
from tollway.settings import Part, Settings
from tollway.store import migrate
from tollway.store.engine import open_engine

EXIT_WRONG: Final = 1
EXIT_BLIND: Final = 3
CONNECT_S: Final = 5.0
PROGRESS_S: Final = 1.0

Data = Annotated[
    Path, typer.Option(help="Data directory of `tollway up` (the embedded store).", envvar="TOLLWAY_DATA_DIR")
]
DatabaseUrl = Annotated[
    str, typer.Option(help="A server's PostgreSQL, postgresql+psycopg://…", envvar="TOLLWAY_DATABASE_URL")
]


class WatchedStore(JournalStore):
    """A journal that tells how far its reading has come."""

    def __init__(self, engine: Engine, progress: "Progress") -> None:
        super().__init__(engine)
        self._progress = progress

    def read(self, journal: int, *, after: int, limit: int = READ_BLOCKS) -> list[Block]:
        """See JournalStore."""
        blocks = super().read(journal, after=after, limit=limit)
        self._progress(journal, len(blocks), sum(block.n for block in blocks))
        return blocks


class Access:
    """What a command looks at. Read models are opened when they are asked for: most commands need the journal alone."""

    def __init__(self, told: Settings, *, is_writer: bool) -> None:
        self.settings = told
        self.progress = Progress()
        self.journal = WatchedStore(open_engine(_existing(told, "journal"), is_writer=is_writer), self.progress)

    @cached_property
    def views(self) -> ViewStore:
        """The read models. Raises CommandError."""
        return ViewStore(open_engine(_existing(self.settings, "views")))

    @property
    def public_key_file(self) -> Path:
        """Beside the auditor's private key."""
        return key_path(self.settings.data_dir, self.settings.environ).with_suffix(".pub")

    def close(self) -> None:
        """Let go of the databases."""
        self.progress.done()
        self.journal.let_go()
        self.journal.engine.dispose()
        if "views" in self.__dict__:
            self.views.close()
            self.views.engine.dispose()

    @asynccontextmanager
    async def stream(self, journals: Sequence[int]) -> AsyncGenerator[AsyncIterator[list[Block]]]:
        """The LEDGER stream's messages. Raises CommandError when the bus does not answer."""
        bus = await self.bus()
        try:
            yield messages(bus, journals)
        finally:
            await bus.drain()

    async def bus(self) -> NatsBus:
        """A connection as the operator. Raises CommandError."""
        url, password = self._bus_address()
        try:
            link = connect(url, role="cli", node=ids.new_id("cli"), user="cli", password=password)
            return await asyncio.wait_for(link, CONNECT_S)
        except (TimeoutError, OSError, nats_errors.Error):
            raise CommandError(f"The bus at {url} does not answer: is it running?", exit_code=EXIT_BLIND) from None

    def _bus_address(self) -> tuple[str, str]:
        state = Place(self.settings.data_dir).load()
        if state is not None and "nats" in state.ports:
            return f"nats://{LOOPBACK}:{state.ports['nats']}", state.passwords.get("cli", "")
        return self.settings.nats_url, self.settings.nats_password


def _existing(told: Settings, part: Part) -> str:
    """The URL of a part whose tables are those of this version. A SQLite file that is not there is not made.

    Raises CommandError.
    """
    if not told.database_url and not (told.data_dir / f"{part}.db").is_file():
        raise _blind(
            f"{told.data_dir} has no {part}.db: name the data directory with --data, or a server with --database-url."
        )
    url, place = told.database(part), "The database" if told.database_url else f"{told.data_dir / part}.db"
    try:
        found, wanted = migrate.current(url, part), migrate.newest(part)
    except (SQLAlchemyError, UnicodeDecodeError) as fault:
        raise _blind(f"{place} cannot be read: {reason(fault)}.") from None
    if found is None:
        raise _blind(f"{place} has no tables of a ledger.")
    if found != wanted:
        raise _blind(f"{place} is at {found}, this version needs {wanted}: run 'tollway migrate'.")
    return url


def _blind(sentence: str) -> CommandError:
    return CommandError(sentence, exit_code=EXIT_BLIND)


def reason(fault: BaseException) -> str:
    """What the driver says, in its first line, or what kind of fault it is."""
    told = fault.orig if isinstance(fault, DBAPIError) and fault.orig is not None else fault
    first = str(told).strip().partition("\n")[0].rstrip(".")
    return first if first and not isinstance(told, UnicodeDecodeError) else type(told).__name__


@contextmanager
def access(data: Path, database_url: str, *, is_writer: bool = False) -> Generator[Access]:
    """Open, and close in the end. Raises CommandError, SettingsError."""
    url = {"TOLLWAY_DATABASE_URL": database_url} if database_url else {}
    try:
        told = settings.read("cli", {**os.environ, "TOLLWAY_DATA_DIR": str(data), **url})
    except settings.SettingsError as fault:
        raise CommandError(str(fault), exit_code=2) from None
    found = Access(told, is_writer=is_writer)
    try:
        yield found
    finally:
        found.close()


class Progress:
    """A line on standard error that grows on long runs."""

    def __init__(self) -> None:
        self._last_s = clock.monotonic_s()
        self._blocks = self._events = 0
        self._is_told = False

    def __call__(self, journal: int, blocks: int, events: int) -> None:
        """So many more were read; told once a second at most."""
        self._blocks += blocks
        self._events += events
        now = clock.monotonic_s()
        if now - self._last_s >= PROGRESS_S:
            self._last_s, self._is_told = now, True
            line = f"\rjournal {journal}: {self._blocks} blocks, {self._events} events read"
            print(line, end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """End the line."""
        if self._is_told:
            print(file=sys.stderr)
