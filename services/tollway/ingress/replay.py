"""`Idempotency-Key`: the same key and body get one provider call and one bill.

A second caller joins while the first is served, streams too, and is replayed the answer from memory for a while
afterwards. Only answers that succeeded are kept. Memory is this process's own and bounded; what was forgotten is a new
request.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from tollway.ingress.exchange import Exchange
from tollway.wire.refusals import Refusal, refuse

KEPT_S: Final = 600.0
KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
KEY_CHARS_MAX: Final = 255
REPLAYED: Final = {"tollway-replayed": "true"}


class Record:
    """One answer as it was given, in parts; followers read it while it grows."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.status = 0
        self.content_type = ""
        self.headers: Mapping[str, str] = {}
        self.parts: list[bytes] = []
        self.size_bytes = 0
        self.is_stream = False
        self.is_over = False
        self.is_whole = False
        self.followers = 0
        self.kept_until_s = 0.0
        self._grew = asyncio.Event()

    def begin(self, status: int, content_type: str, headers: Mapping[str, str], *, is_stream: bool) -> None:
        """The head is known."""
        self.status, self.content_type, self.headers, self.is_stream = status, content_type, headers, is_stream
        self._grow()

    def add(self, data: bytes) -> None:
        """A part of the body."""
        self.parts.append(data)
        self.size_bytes += len(data)
        self._grow()

    def end(self, *, is_whole: bool) -> None:
        """Nothing more comes."""
        self.is_over, self.is_whole = True, is_whole
        self._grow()

    def _grow(self) -> None:
        self._grew.set()
        self._grew = asyncio.Event()

    async def grown(self) -> None:
        """Wait for more."""
        await self._grew.wait()


class Replays:
    """The records of this process, oldest first."""

    def __init__(self) -> None:
        self._records: OrderedDict[tuple[str, str], Record] = OrderedDict()

    def claim(self, access_key_id: str, key: str, body: bytes, now_s: float) -> "Record | Lead | Refusal":
        """Follow an earlier request with this key, or lead. Another body under the same key is a conflict."""
        if len(key) > KEY_CHARS_MAX:
            return refuse("invalid_request_body", f"Idempotency-Key: at most {KEY_CHARS_MAX} characters.")
        self._forget(now_s)
        digest = sha256(body).digest()
        found = self._records.get((access_key_id, key))
        if found is None:
            record = self._records[(access_key_id, key)] = Record(digest)
            return Lead(self, (access_key_id, key), record)
        return found if found.digest == digest else refuse("idempotency_conflict")

    def finish(self, key: tuple[str, str], record: Record, now_s: float) -> None:
        """Keep a success for a while; drop everything else, so that a repeat is a new try."""
        if not record.is_whole or record.size_bytes > ANSWER_BYTES_MAX:
            self._records.pop(key, None)
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


async def replay(exchange: Exchange, record: Record) -> bool:
    """Send what another request with the same key is, or was, sent. False: that one ended without an answer."""
    record.followers += 1
    try:
        return await _replay(exchange, record)
    finally:
        record.followers -= 1


async def _replay(exchange: Exchange, record: Record) -> bool:
    while not record.status and not record.is_over:
        await record.grown()
    if not record.status:
        return False
    headers = {**record.headers, **REPLAYED}
    if not record.is_stream:
        await exchange.answer(record.status, b"".join(record.parts), record.content_type, headers)
        return True
    await exchange.begin(record.status, record.content_type, headers)
    sent = 0
    while not record.is_over or sent < len(record.parts):
        for part in record.parts[sent:]:
            await exchange.send(part)
            sent += 1
        if not record.is_over:
            await record.grown()
    await exchange.close()
    return True
