"""How the ledger's commands reach the journal, its read models and its copy: embedded or on a server."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from nats import errors as nats_errors

from tollway import clock, ids, settings
from tollway.bus.nats import NatsBus, connect
from tollway.cli.embedded_nats import LOOPBACK
from tollway.cli.errors import CommandError
from tollway.cli.place import Place
from tollway.ledger.audit.copy_reading import messages
from tollway.ledger.audit.keys import key_path
from tollway.ledger.journal.block import Block
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.views.store import ViewStore
from tollway.settings import Part, Settings
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


class Access:
    """What a command looks at."""

    def __init__(self, told: Settings, *, is_writer: bool) -> None:
        self.settings = told
        self.journal = JournalStore(open_engine(_existing(told, "journal"), is_writer=is_writer))
        self.views = ViewStore(open_engine(_existing(told, "views"), is_writer=True))

    @property
    def public_key_file(self) -> Path:
        """Beside the auditor's private key."""
        return key_path(self.settings.data_dir, self.settings.environ).with_suffix(".pub")

    def close(self) -> None:
        """Let go of the databases."""
        self.journal.let_go()
        self.views.close()
        self.journal.engine.dispose()
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
    """The URL of a part. A SQLite file that is not there is not made."""
    if not told.database_url and not (told.data_dir / f"{part}.db").exists():
        raise CommandError(
            f"{told.data_dir} has no {part}.db: name the data directory with --data, or a server with --database-url.",
            exit_code=EXIT_BLIND,
        )
    return told.database(part)


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
    """A line on standard error that grows on long runs, at a terminal."""

    def __init__(self) -> None:
        self._last_s = clock.monotonic_s()
        self._is_told = False

    def __call__(self, journal: int, blocks: int, events: int) -> None:
        """Tell, once a second at most."""
        now = clock.monotonic_s()
        if now - self._last_s >= PROGRESS_S:
            self._last_s, self._is_told = now, True
            print(f"\rjournal {journal}: {blocks} blocks, {events} events", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """End the line."""
        if self._is_told:
            print(file=sys.stderr)
