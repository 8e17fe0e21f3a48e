"""The outbox: what must not be lost is on this machine's disk before anybody hears of it, and stays until the other
side is known to have it in a place of its own.

One directory per outbox, `outbox-<pool>-<index>`: `lock` (held by the one process that uses it), `id` (the outbox's
name on the bus, as long as the directory lives) and `facts.log`. The log is a header and records of
`length, crc32, msgpack`, either a kept body with its key and group or a list of keys that are settled. Appending is
group commit: whatever waits while a sync runs goes into the next one. A torn tail is cut off, a damaged record is
passed over, settled records go when the file is rewritten. Bodies are read back from the file when they are needed
again, so memory holds some 200 bytes for each.
"""

import asyncio
import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

import msgspec

from tollway import clock, ids
from tollway.tasks import after_turns

HEADER: Final = b"tollway outbox 1\n"
RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
REWRITE_BYTES_MIN: Final = 4 * 1024 * 1024
BATCH_BYTES_MAX: Final = 1024 * 1024
WRITE_TURNS: Final = 8
"""How long a record waits for others. A write less is a sync less, and two changes of thread."""

_PREFIX: Final = struct.Struct("<II")


class OutboxError(Exception):
    """The disk did not take it: nothing is kept, and the next append tries again."""


class _Kept(msgspec.Struct, array_like=True, tag=0):
    key: str
    group: int
    body: bytes


class _Settled(msgspec.Struct, array_like=True, tag=1):
    keys: list[str]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Kept | _Settled).decode


class Entry(msgspec.Struct, frozen=True):
    """Where an unsettled body lies in the file. `group` is the caller's (the journal)."""

    group: int
    offset: int
    length: int


class _Waiting(msgspec.Struct):
    key: str
    group: int
    record: bytes
    future: asyncio.Future[None]


Result = Any
Done = Callable[[Result, BaseException | None], None]


class _Worker:
    """One thread that takes jobs in turn and tells the loop. A third of an executor's cost (0.11 ms of CPU a job)."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Result], asyncio.AbstractEventLoop, Done] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], Result], done: Done) -> None:
        """Run a job; `done` is called on the loop with its result or its error."""
        self._jobs.put((job, asyncio.get_running_loop(), done))

    async def run(self, job: Callable[[], Result]) -> Result:
        """Run a job and wait for it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def done(result: Result, fault: BaseException | None) -> None:
            if not future.done():
                future.set_result(result) if fault is None else future.set_exception(fault)

        self.submit(job, done)
        return await future

    def stop(self) -> None:
        """Finish what was submitted, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, loop, done = item
            result, fault = None, None
            try:
                result = job()
            except Exception as error:  # noqa: BLE001  it is handed to the loop, as an executor does
                fault = error
            with suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(done, result, fault)


class Outbox:
    """An open outbox. `append` returns when the record is synced; everything else is quick.

    All methods belong to the event loop's thread; one worker thread does the writing. `on_sync` hears how long each
    write with its sync took.
    """

    def __init__(self, directory: Path, lock: int, name: str) -> None:
        self.directory = directory
        self.id = name
        self.damaged = 0
        self.torn_bytes = 0
        self.syncs = 0
        self.error: str | None = None
        self.on_sync: Callable[[float], None] = _ignore
        self.entries: dict[str, Entry] = {}
        self._lock = lock
        self._file = os.open(directory / "facts.log", os.O_RDWR | os.O_CREAT, 0o600)
        self._end = 0
        self._live_bytes = 0
        self._sync_s = 0.0
        self._waiting: list[_Waiting] = []
        self._marks: list[str] = []
        self._is_writing = False
        self._worker = _Worker("outbox")
        self._load()

    # -- the loop's side

    async def append(self, key: str, group: int, body: bytes) -> None:
        """Keep a body under a key; returns once it is on the disk. Raises OutboxError if the disk does not take it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(key, group, _record(_Kept(key, group, body)), future))
        if not self._is_writing:
            self._is_writing = True
            after_turns(WRITE_TURNS, self._write_next)
        await future

    def probe(self) -> None:
        """After a failed write: try an empty one, so that `error` goes when the disk takes writes again."""
        if not self._is_writing:
            self._marks.append("")
            self._write_next()

    def settle(self, keys: Iterable[str]) -> None:
        """These are safe elsewhere. Keys that are not here are passed over; a crash may bring the last ones back."""
        for key in keys:
            if (entry := self.entries.pop(key, None)) is not None:
                self._live_bytes -= entry.length
                self._marks.append(key)
        if not self._is_writing and self._is_rewrite_due():
            self._rewrite()

    async def read(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The bodies of those keys that are still unsettled."""
        entries = {key: self.entries[key] for key in keys if key in self.entries}
        found = list(entries.values())
        records: list[bytes | None] = await self._worker.run(lambda: [self._body(entry) for entry in found])
        return {key: body for key, body in zip(entries, records, strict=True) if body is not None}

    async def close(self) -> None:
        """Write what waits, and let the directory go."""
        while self._is_writing:
            await self._worker.run(_nothing)  # comes back after the writer's own callback
            await asyncio.sleep(0)
        await self._worker.run(self._write_marks)
        self.release()

    def release(self) -> None:
        """Let the directory go without writing."""
        self._worker.stop()
        os.close(self._file)
        os.close(self._lock)

    def _write_next(self) -> None:
        batch = self._waiting[: _count_within(self._waiting, BATCH_BYTES_MAX)]
        del self._waiting[: len(batch)]
        marks, self._marks = self._marks, []
        self._is_writing = True
        records = [it.record for it in batch]
        self._worker.submit(
            lambda: self._write(records, marks), lambda offset, fault: self._written(batch, offset, fault)
        )

    def _written(self, batch: list[_Waiting], offset: int, fault: BaseException | None) -> None:
        self._is_writing = False
        self.on_sync(self._sync_s)
        self.error = None if fault is None else f"the outbox cannot be written: {_reason(fault)}"
        if fault is None:
            self._enter(batch, offset)
        for it in batch:
            if not it.future.done():
                it.future.set_result(None) if fault is None else it.future.set_exception(OutboxError(self.error))
        if self._waiting:
            self._write_next()
        elif self._is_rewrite_due():
            self._rewrite()

    def _enter(self, batch: list[_Waiting], offset: int) -> None:
        for it in batch:
            self._add(it.key, Entry(it.group, offset, len(it.record)))
            offset += len(it.record)

    def _add(self, key: str, entry: Entry) -> None:
        before = self.entries.get(key)
        self._live_bytes += entry.length - (before.length if before is not None else 0)
        self.entries[key] = entry

    def _is_rewrite_due(self) -> bool:
        return self._end >= REWRITE_BYTES_MIN and self._live_bytes * 4 < self._end

    def _rewrite(self) -> None:
        self._is_writing = True
        entries = dict(self.entries)
        self._worker.submit(lambda: self._compact(entries), self._rewritten)

    def _rewritten(self, moved: dict[str, Entry], fault: BaseException | None) -> None:
        self._is_writing = False
        if fault is None:
            self.entries = {key: moved[key] for key in self.entries}
            self._live_bytes = sum(entry.length for entry in self.entries.values())
        else:
            self.error = f"the outbox cannot be rewritten: {_reason(fault)}"
        if self._waiting:
            self._write_next()

    # -- the worker's side

    def _write(self, records: list[bytes], marks: list[str]) -> int:
        """Append and sync; the offset of the first record. What a failed write left behind is cut off again."""
        tail = [_record(_Settled(marks))] if marks else []
        start = self._end
        data = b"".join(records + tail)
        begun_s = clock.monotonic_s()
        try:
            _write_all(self._file, data, start)
            os.fdatasync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, start)
            raise
        self.syncs += 1
        self._sync_s = clock.monotonic_s() - begun_s
        self._end = start + len(data)
        return start

    def _write_marks(self) -> None:
        if self._marks:
            with suppress(OSError):
                _write_all(self._file, _record(_Settled(self._marks)), self._end)

    def _body(self, entry: Entry) -> bytes | None:
        found = _parse(os.pread(self._file, entry.length, entry.offset), 0)
        return found[0].body if found is not None and isinstance(found[0], _Kept) else None

    def _compact(self, entries: dict[str, Entry]) -> dict[str, Entry]:
        """Write the unsettled records into a new file and put it in the old one's place."""
        draft, moved, offset = self.directory / "facts.new", dict[str, Entry](), len(HEADER)
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(file, HEADER, 0)
            for key, entry in entries.items():
                _write_all(file, os.pread(self._file, entry.length, entry.offset), offset)
                moved[key] = Entry(entry.group, offset, entry.length)
                offset += entry.length
            os.fsync(file)
            draft.rename(self.directory / "facts.log")
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._end = file, offset
        with suppress(OSError):  # the records are where `moved` says, whether or not the name is durable yet
            _sync_directory(self.directory)
        return moved

    def _load(self) -> None:
        """Read the log: what is kept and not settled. A torn tail is cut off, damage in the middle is passed over."""
        data = _read_all(self._file)
        if not data.startswith(HEADER):
            data = self._begin_file(data)
        offset = len(HEADER)
        while offset < len(data):
            found = _parse(data, offset)
            step = _damaged_length(data, offset) if found is None else found[1]
            if not step:
                break
            self._take(found[0] if found is not None else None, offset, step)
            offset += step
        self.torn_bytes = len(data) - offset
        os.ftruncate(self._file, offset)
        self._end = offset

    def _begin_file(self, found: bytes) -> bytes:
        """A new file, or one whose very first write was torn."""
        if found and not HEADER.startswith(found[: len(HEADER)]):
            raise OutboxError(f"{self.directory / 'facts.log'} is not an outbox of this version")
        os.ftruncate(self._file, 0)
        _write_all(self._file, HEADER, 0)
        os.fsync(self._file)
        _sync_directory(self.directory)
        return HEADER

    def _take(self, record: _Kept | _Settled | None, offset: int, length: int) -> None:
        match record:
            case _Kept():
                self._add(record.key, Entry(record.group, offset, length))
            case _Settled():
                self.settle(record.keys)
                self._marks.clear()
            case None:
                self.damaged += 1


def claim(data_dir: Path, pool: str) -> Outbox:
    """The first outbox of the pool that no living process holds: an orphan with its facts, or a new one."""
    for index in range(4096):
        outbox = _open(data_dir / f"outbox-{pool}-{index}")
        if outbox is not None:
            return outbox
    raise OutboxError(f"no free outbox in {data_dir}")


def adopt(data_dir: Path, pool: str) -> list[Outbox]:
    """Outboxes that a dead process left with unsettled bodies, now held by this one."""
    found = [_open(directory) for directory in sorted(data_dir.glob(f"outbox-{pool}-*")) if directory.is_dir()]
    orphans = [outbox for outbox in found if outbox is not None]
    for outbox in orphans:
        if not outbox.entries:
            outbox.release()
    return [outbox for outbox in orphans if outbox.entries]


def _open(directory: Path) -> Outbox | None:
    """Open a directory if nobody else has it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Outbox(directory, lock, _name(directory))


def _name(directory: Path) -> str:
    path = directory / "id"
    if path.exists() and (name := path.read_text().strip()):
        return name
    name = ids.new_id("ob")
    draft = directory / "id.new"
    draft.write_text(name)
    draft.rename(path)
    return name


def _record(body: _Kept | _Settled) -> bytes:
    packed = _encode(body)
    return _PREFIX.pack(len(packed), zlib.crc32(packed)) + packed


def _parse(data: bytes, offset: int) -> "tuple[_Kept | _Settled, int] | None":
    """The record at an offset and its length, or None where there is no whole one."""
    if offset + _PREFIX.size > len(data):
        return None
    length, crc = _PREFIX.unpack_from(data, offset)
    packed = data[offset + _PREFIX.size : offset + _PREFIX.size + length]
    if length > RECORD_BYTES_MAX or len(packed) < length or zlib.crc32(packed) != crc:
        return None
    try:
        return _decode(packed), _PREFIX.size + length
    except msgspec.DecodeError:
        return None


def _damaged_length(data: bytes, offset: int) -> int:
    """How far to step over a broken record: only where a whole one follows; 0 at a torn tail."""
    if offset + _PREFIX.size > len(data):
        return 0
    step = _PREFIX.size + _PREFIX.unpack_from(data, offset)[0]
    return step if step <= RECORD_BYTES_MAX and _parse(data, offset + step) is not None else 0


def _count_within(waiting: Sequence[_Waiting], size_bytes_max: int) -> int:
    size = 0
    for count, it in enumerate(waiting):
        size += len(it.record)
        if size > size_bytes_max:
            return max(1, count)
    return len(waiting)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _read_all(file: int) -> bytes:
    size = os.fstat(file).st_size
    parts: list[bytes] = []
    offset = 0
    while offset < size and (part := os.pread(file, size - offset, offset)):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ignore(_seconds: float) -> None:
    """Nobody measures."""


def _nothing() -> None:
    """A job that only waits for its turn."""


def _reason(fault: BaseException) -> str:
    return fault.strerror or type(fault).__name__ if isinstance(fault, OSError) else type(fault).__name__
