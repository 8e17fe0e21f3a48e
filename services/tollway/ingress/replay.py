"""`Idempotency-Key`: the same key and body get one provider call and one bill.

A second caller joins while the first is served, streams too, and is replayed the answer from memory for a while
afterwards. Only answers that succeeded are kept. Memory is this process's own and bounded; what was forgotten is a new
request.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from tollway.wire.refusals import Refusal, refuse

KEPT_S: Final = 600.0
KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
KEY_CHARS_MAX: Final = 255


class Record:
    """One answer as it was given, in parts; followers read it while it grows.

    `is_closed`: all of it was given, an error at its end included. `is_over`: nobody adds to it any more.
    `is_dropped`: it became too large to be kept before anybody followed. `on_deserted`: its own caller hung up, and now
    the last follower did so too.
    """

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.status = 0
        self.content_type = ""
        self.headers: Mapping[str, str] = {}
        self.parts: list[bytes] = []
        self.size_bytes = 0
        self.is_stream = False
        self.is_closed = self.is_dropped = False
        self.is_over = False
        self.is_whole = False
        self.followers = 0
        self.kept_until_s = 0.0
        self.on_deserted: Callable[[], None] | None = None
        self._grew = asyncio.Event()

    def begin(self, status: int, content_type: str, headers: Mapping[str, str], *, is_stream: bool) -> None:
        """The head is known."""
        self.status, self.content_type, self.headers, self.is_stream = status, content_type, headers, is_stream
        self.wake()

    def add(self, data: bytes, *, is_last: bool) -> None:
        """A part of the body."""
        self.is_closed = is_last
        self.size_bytes += len(data)
        self.is_dropped = self.is_dropped or (self.size_bytes > ANSWER_BYTES_MAX and not self.followers)
        if self.is_dropped:
            self.parts.clear()
        else:
            self.parts.append(data)
        self.wake()

    def end(self, *, is_whole: bool) -> None:
        """Nothing more comes."""
        self.is_over, self.is_whole = True, is_whole
        self.wake()

    def join(self) -> None:
        """Somebody follows."""
        self.followers += 1

    def leave(self) -> None:
        """Somebody follows no longer."""
        self.followers -= 1
        if not self.followers and self.on_deserted is not None:
            self.on_deserted()

    def wake(self) -> None:
        """Have the followers look again."""
        self._grew.set()
        self._grew = asyncio.Event()

    async def grown(self) -> None:
        """Wait for more."""
        await self._grew.wait()


class Replays:
    """The records of this process, oldest first."""

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[str, str], Record] = OrderedDict()

    def claim(self, access_key_id: str, key: str, path: str, body: bytes, now_s: float) -> "Record | Lead | Refusal":
        """Follow an earlier request with this key, or lead. Another body or address under the key is a conflict."""
        if len(key) > KEY_CHARS_MAX:
            return refuse("invalid_request_body", f"Idempotency-Key: at most {KEY_CHARS_MAX} characters.")
        self._forget(now_s)
        digest = sha256(path.encode() + b"\0" + body).digest()
        found = self._records.get((access_key_id, key))
        if found is None or found.is_dropped:
            record = self._records[(access_key_id, key)] = Record(digest)
            return Lead(self, (access_key_id, key), record)
        return found if found.digest == digest else refuse("idempotency_conflict")

    def finish(self, key: tuple[str, str], record: Record, now_s: float) -> None:
        """Keep a success for a while; drop everything else, so that a repeat is a new try."""
        if self._records.get(key) is not record:
            return
        if not record.is_whole or record.size_bytes > ANSWER_BYTES_MAX:
            del self._records[key]
            return
        record.kept_until_s = now_s + KEPT_S
        self._records.move_to_end(key)
        total = sum(record.size_bytes for record in self._records.values())
        while total > KEPT_BYTES_MAX and len(self._records) > 1:
            total -= self._records.popitem(last=False)[1].size_bytes

    def _forget(self, now_s: float) -> None:
        for key in [key for key, record in self._records.items() if record.is_over and record.kept_until_s < now_s]:
            del self._records[key]


class Lead:
    """The request that does the work: what its exchange sends is recorded."""

    def __init__(self, replays: Replays, key: tuple[str, str], record: Record) -> None:
        self.record = record
        self._replays, self._key = replays, key

    def finish(self, *, is_whole: bool, now_s: float) -> None:
        """The request is over; `is_whole`: it succeeded."""
        self.record.end(is_whole=is_whole)
        self._replays.finish(self._key, self.record, now_s)
