"""The LEDGER stream on NATS: its end per journal, and appends that name the message they follow."""

# pyright: reportUnknownMemberType=false
# nats-py leaves parts of its signatures without types.

from typing import Final

import msgspec
from nats import errors
from nats.js import errors as stream_errors
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from tollway.bus import BusError
from tollway.bus.nats import NatsBus
from tollway.ledger.journal.block import Block
from tollway.ledger.relay import Last, unpacked
from tollway.wire import subjects

STREAM: Final = "LEDGER"
PUT_TIMEOUT_S: Final = 5.0


class NatsCopy:
    """See `tollway.ledger.relay.Copy`."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._streams = bus.client.jetstream(timeout=PUT_TIMEOUT_S)

    async def last(self, journal: int) -> Last:
        """The last message of a journal's subject."""
        try:
            message = await self._streams.get_last_msg(STREAM, subjects.ledger_block(journal))
        except stream_errors.NotFoundError:
            await self._make_sure()
            return Last()
        except (stream_errors.Error, errors.Error, TimeoutError) as fault:
            raise BusError(f"LEDGER: {type(fault).__name__}") from fault
        return _last_of(message.seq or 0, message.data or b"")

    async def _make_sure(self) -> None:
        """The subject is empty, or the stream is gone: then make it as `tollway up` would."""
        config = StreamConfig(
            name=STREAM,
            subjects=list(subjects.STREAMS[STREAM]),
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            duplicate_window=120,
            allow_direct=True,
            deny_delete=True,
            deny_purge=True,
        )
        try:
            await self._streams.stream_info(STREAM)
        except stream_errors.NotFoundError:
            await self._streams.add_stream(config)
        except (stream_errors.Error, errors.Error, TimeoutError) as fault:
            raise BusError(f"LEDGER: {type(fault).__name__}") from fault

    async def put(self, journal: int, payload: bytes, *, after: int, first: Block, last: Block) -> int:
        """Append one message of blocks."""
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(after),
            "Tollway-Blocks": f"{first.seq}-{last.seq}",
            "Tollway-Hash": last.hash.hex(),
        }
        stored = await self._bus.put_bytes(
            subjects.ledger_block(journal), payload, headers=headers, timeout_s=PUT_TIMEOUT_S
        )
        return stored.sequence


def _last_of(sequence: int, payload: bytes) -> Last:
    try:
        block = unpacked(payload)[-1]
    except (msgspec.DecodeError, IndexError):
        return Last(sequence, 2**62, b"")
    return Last(sequence, block.seq, block.hash)
