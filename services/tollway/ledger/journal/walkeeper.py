"""Moves SQLite's write-ahead log into the file, beside the writer: checkpoints on its connection were 3-5 ms tails."""

import threading
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

EVERY_S: Final = 1.0


class WalKeeper:
    """A thread that checkpoints passively once a second; nothing on other databases."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
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
        connection = self._engine.raw_connection()
        driver = connection.driver_connection
        assert driver is not None
        while not self._stop.wait(EVERY_S):
            try:
                driver.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except (SQLAlchemyError, self._engine.dialect.dbapi.Error):  # pyright: ignore[reportOptionalMemberAccess]
                continue  # busy or full: the log stays longer
        connection.close()
