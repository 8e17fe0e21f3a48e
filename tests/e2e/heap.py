"""What a running process has in its memory: the search that a dump of it would allow, without a dump."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

REGION_BYTES_MAX = 512 * 1024 * 1024
_WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw")


def marks_in_memory(pid: int, marks: Iterable[bytes]) -> set[bytes]:
    """Those of `marks` that are anywhere in the process's heap, stacks or environment. Raises PermissionError where the
    machine does not let us look at our own children."""
    wanted, found = set(marks), set[bytes]()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            region = _WRITABLE.match(line)
            if region is None:
                continue
            begin, end = (int(word, 16) for word in region.groups())
            data = _read(memory.fileno(), begin, min(end - begin, REGION_BYTES_MAX))
            found |= {mark for mark in wanted - found if mark in data}
    return found


def _read(descriptor: int, offset: int, size_bytes: int) -> bytes:
    """A region, or b"" for one that is not to be read (a device, a guard page)."""
    try:
        return os.pread(descriptor, size_bytes, offset)
    except OSError:
        return b""
