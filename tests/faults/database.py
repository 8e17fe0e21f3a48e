"""A PostgreSQL that can be stopped in a moment, and a wire to it that can be cut at the worst one."""

import asyncio
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy.engine import make_url

from tests.postgres import postgresql

JOURNAL: Final = b"INSERT INTO ledger_block"
STORED: Final = b"INSERT 0 "
"""What PostgreSQL says when rows are stored and, in autocommit, committed."""


class Database:
    """A PostgreSQL server of its own."""

    def __init__(self, server: Any) -> None:
        self.server = server

    def stop(self) -> None:
        """As if the power had failed: SIGQUIT is the immediate shutdown."""
        process = psutil.Process(self.server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(20)

    def start(self) -> None:
        """Again, on the same address."""
        self.server.ensure_postgres_running()

    def dump(self, url: str, file: Path) -> None:
        """A backup of one database, by PostgreSQL's own tool, while it is in use."""
        self._run("pg_dump", "--format=custom", f"--file={file}", f"--dbname={_plain(url)}")

    def restore(self, url: str, file: Path) -> None:
        """The database as it was when that backup was made."""
        self._run("pg_restore", "--clean", "--if-exists", "--exit-on-error", f"--dbname={_plain(url)}", str(file))

    def _run(self, tool: str, *arguments: str) -> None:
        beside = Path(psutil.Process(self.server.get_pid()).exe()).with_name(tool)
        done = subprocess.run([beside, *arguments], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def cut(self) -> None:
        """Every connection of a service, in whatever it does."""
        self.server.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")


def _plain(url: str) -> str:
    """As PostgreSQL's own tools read it."""
    return url.replace("postgresql+psycopg", "postgresql")


@contextmanager
def served() -> Iterator[Database]:
    """One while this lasts."""
    with postgresql() as server:
        yield Database(server)


class Wire:
    """A TCP proxy to a database. Every `every`-th answer to an insert of blocks is not passed on: both ends are cut,
    so that the commit is done and whoever asked for it does not know."""

    def __init__(self, url: str, *, every: int) -> None:
        self._target = make_url(url)
        self._every = every
        self._commits = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")
        self.cuts = 0
        self.is_cutting = False
        self.url = ""

    def __enter__(self) -> "Wire":
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        # a socket's directory, if there is one, is in the query
        told = self._target.set(host="127.0.0.1", port=port, query={})
        self.url = told.render_as_string(hide_password=False)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were aborted close their sockets in the loop's next turn

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link, below = _Link(self), None
        pumps: list[asyncio.Task[None]] = []
        try:
            above, below = await self._connected()
            pumps.append(asyncio.create_task(link.pump(reader, below, link.asked)))
            pumps.append(asyncio.create_task(link.pump(above, writer, link.answered)))
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            writer.transport.abort()
            if below is not None:
                below.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        directory = self._target.query.get("host") or self._target.host or ""
        port = self._target.port or 5432
        if str(directory).startswith("/"):
            return await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.{port}")
        return await asyncio.open_connection(str(directory), port)

    def is_to_cut(self) -> bool:
        """Asked for each commit of blocks."""
        self._commits += self.is_cutting
        is_due = self.is_cutting and self._commits % self._every == 0
        self.cuts += is_due
        return is_due


class _Link:
    """One connection through the wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._is_writers = False

    def asked(self, data: bytes) -> bool:
        """Whether to pass on what a service says: always; the writer is known by its statement."""
        self._is_writers |= JOURNAL in data
        return True

    def answered(self, data: bytes) -> bool:
        """Whether to pass on what the database answers."""
        return not (self._is_writers and STORED in data and self._wire.is_to_cut())

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Any) -> None:
        """Carry bytes until an end closes or must not hear more."""
        while (data := await reader.read(65_536)) and passes(data):
            writer.write(data)
            await writer.drain()
