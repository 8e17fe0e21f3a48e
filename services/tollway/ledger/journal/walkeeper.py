"""Moves SQLite's write-ahead log into the file, beside the writer: checkpoints on its connection were 3-5 ms tails.

A passive checkpoint never waits, but under a writer that never pauses the log would never start anew and grow for ever;
past a size the log is restarted, which holds the writer for the few pages that came since the passive one.
"""

import threading
from typing import Any, Final

from sqlalchemy import Engine

EVERY_S: Final = 1.0
PAGES_MAX: Final = 8_192
"""32 MiB of log."""


class WalKeeper:
    """A thread that checkpoints once a second; nothing on other databases."""

    def __init__(self, engine: Engine, *, every_s: float = EVERY_S, pages_max: int = PAGES_MAX) -> None:
        self._engine = engine
        self._every_s = every_s
        self._pages_max = pages_max
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger wal", daemon=True)

    def start(self) -> None:
        """Begin, on SQLite."""
        if self._engine.dialect.name == "sqlite":
            self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        dbapi = self._engine.dialect.dbapi
        assert dbapi is not None, "an engine has a driver"
        connection = self._engine.raw_connection()
        while not self._stop.wait(self._every_s):
            try:
                self._checkpoint(connection.driver_connection)
            except dbapi.Error:
                continue  # busy or full: the log stays longer
        connection.close()

    def _checkpoint(self, driver: Any) -> None:
        _busy, pages, _moved = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > self._pages_max:
            driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
