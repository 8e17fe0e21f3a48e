"""Reads the LEDGER stream from its first message: for verify and repair."""

# pyright: reportUnknownMemberType=false
# nats-py leaves parts of its signatures without types.

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from nats import errors
from nats.js import errors as stream_errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tollway.bus import BusError
from tollway.bus.nats import NatsBus
from tollway.ledger.copy_nats import STREAM
from tollway.ledger.journal.block import Block
from tollway.ledger.relay import unpacked
from tollway.wire import subjects

BATCH: Final = 200
WAIT_S: Final = 5.0


async def messages(bus: NatsBus, journals: Sequence[int]) -> AsyncIterator[list[Block]]:
    """The blocks of each message, in the stream's order; an unreadable message is an empty list. Raises BusError."""
    stream = bus.client.jetstream(timeout=WAIT_S)
    named = [subjects.ledger_block(journal) for journal in journals]
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.NONE,
        filter_subjects=named if len(journals) < subjects.JOURNALS else [subjects.LEDGER_BLOCKS_ALL],
        inactive_threshold=60,
    )
    try:
        info = await stream.add_consumer(STREAM, config)
        subscription = await stream.pull_subscribe_bind(info.name, STREAM)
        left = info.num_pending or 0
        while left > 0:
            fetched = await subscription.fetch(min(BATCH, left), timeout=WAIT_S)
            left -= len(fetched)
            for message in fetched:
                yield _read(message.data)
        await subscription.unsubscribe()
    except (errors.Error, stream_errors.Error, TimeoutError) as fault:
        raise BusError(f"the LEDGER stream cannot be read: {type(fault).__name__}") from fault


def _read(payload: bytes) -> list[Block]:
    try:
        return unpacked(payload)
    except msgspec.DecodeError:
        return []
