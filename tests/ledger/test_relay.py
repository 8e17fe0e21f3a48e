"""The LEDGER stream is a second copy: whole, in order, once; rebuilt when it is lost, believed when it knows more."""

import asyncio
from contextlib import suppress

import pytest
from nats.js.errors import NotFoundError

from tests.ledger.house import House
from tollway.bus import WrongLastSequenceError
from tollway.ledger.copy_nats import NatsCopy
from tollway.ledger.events import AccountOpened
from tollway.ledger.journal.block import Block, Head, build, head_of
from tollway.ledger.relay import MESSAGE_BYTES_MAX, Last, Relay, packed, unpacked
from tollway.ledger.writer import Committed
from tollway.wire import subjects

ACCOUNT = "acc_house"
JOURNAL = subjects.journal_of(ACCOUNT)


async def blocks_on_stream(house: House, journal: int = JOURNAL) -> list[Block]:
    """Everything of a journal that the stream has, in its order."""
    stream = house.client.client.jetstream()
    found: list[Block] = []
    info = await stream.stream_info("LEDGER")
    for sequence in range(1, info.state.last_seq + 1):
        try:
            message = await stream.get_msg("LEDGER", sequence)
        except NotFoundError:
            continue
        if message.subject == subjects.ledger_block(journal):
            found += unpacked(message.data or b"")
    return found


async def test_the_stream_carries_every_block_as_stored_once_and_in_order(house: House) -> None:
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    for _ in range(30):
        await house.opened(ACCOUNT, 5)
    assert ledger.relay is not None
    await ledger.relay.flush()
    assert await blocks_on_stream(house) == ledger.journal.read(JOURNAL, after=0)


async def test_a_restart_goes_on_where_the_stream_ends(small_house: House) -> None:
    house = small_house
    first = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    await house.close(first)
    second = await house.ledger()
    await house.opened(ACCOUNT, 5)
    assert second.relay is not None
    await second.relay.flush()
    assert await blocks_on_stream(house) == second.journal.read(JOURNAL, after=0)


async def test_a_stream_that_lost_its_end_is_brought_up_again(small_house: House) -> None:
    house = small_house
    first = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    await house.close(first)
    stream = house.client.client.jetstream()
    last = await stream.get_last_msg("LEDGER", subjects.ledger_block(JOURNAL))
    assert last.seq
    await stream.delete_msg("LEDGER", last.seq)
    second = await house.ledger()
    assert second.relay is not None
    await second.relay.flush()
    assert await blocks_on_stream(house) == second.journal.read(JOURNAL, after=0)


async def test_a_stream_deleted_while_we_run_is_made_again_from_the_journal(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    assert ledger.relay is not None
    ledger.relay.check_s = 0.1
    await house.grant(ACCOUNT, 10**9)
    await ledger.relay.flush()
    await house.client.client.jetstream().delete_stream("LEDGER")
    await house.opened(ACCOUNT, 5)
    for _ in range(300):
        await asyncio.sleep(0.05)
        with suppress(NotFoundError):
            if await blocks_on_stream(house) == ledger.journal.read(JOURNAL, after=0):
                return
    raise AssertionError("the stream was not rebuilt")


async def test_a_stream_that_knows_more_than_the_database_halts_that_journal(small_house: House) -> None:
    house = small_house
    first = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    await house.close(first)
    head = first.journal.head(JOURNAL)
    await append(house, build(JOURNAL, head, epoch=head.epoch, ts=head.ts + 1, events=[]))
    second = await house.ledger()
    await house.until(lambda: JOURNAL in second.halted)
    assert f"journal {JOURNAL}" in second.halted[JOURNAL]
    assert any("halted" in reason for reason in second.not_ready())
    said = await house.client.ask(subjects.hold(JOURNAL), _hold(), object, timeout_s=0.3)  # type: ignore[type-var]
    assert said.code == "gateway_unavailable", "nothing is granted"
    other = next(name for name in (f"acc_{n}" for n in range(99)) if subjects.journal_of(name) != JOURNAL)
    await house.grant(other, 5)


async def test_a_stream_with_another_history_halts_that_journal(small_house: House) -> None:
    house = small_house
    await append(house, build(JOURNAL, Head(), epoch=1, ts=1, events=[]))
    ledger = await house.ledger()
    assert JOURNAL in ledger.halted


async def test_two_publishers_cannot_interleave(small_house: House) -> None:
    first = build(JOURNAL, Head(), epoch=1, ts=1, events=[])
    second = build(JOURNAL, head_of(first), epoch=1, ts=2, events=[])
    copy = NatsCopy(small_house.client)
    sequence = await copy.put(JOURNAL, packed([first]), after=0, first=first, last=first)
    with pytest.raises(WrongLastSequenceError):
        await copy.put(JOURNAL, packed([first]), after=0, first=first, last=first)
    await copy.put(JOURNAL, packed([second]), after=sequence, first=second, last=second)
    assert await blocks_on_stream(small_house) == [first, second]


async def append(house: House, block: Block) -> None:
    """Somebody's message on the stream."""
    copy = NatsCopy(house.client)
    last = await copy.last(JOURNAL)
    await copy.put(JOURNAL, packed([block]), after=last.sequence, first=block, last=block)


def _hold():  # noqa: ANN202,RUF100
    from tests.ledger.house import open_hold

    return open_hold(ACCOUNT, 5)


class Disowning:
    """A copy; while a message is put, the ledger gives another journal up."""

    relay: Relay

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def last(self, journal: int) -> Last:
        return Last()

    async def put(self, journal: int, payload: bytes, *, after: int, first: Block, last: Block) -> int:
        self.relay.disown(2)
        self.taken.append(journal)
        return 1


async def test_a_journal_that_is_given_up_in_the_middle_of_a_round_stops_no_other(small_house: House) -> None:
    ledger = await small_house.ledger()
    copy = Disowning()
    copy.relay = Relay(ledger.journal, copy, on_trouble=lambda _: None, on_differs=lambda _: None)
    for journal in (1, 2, 3):
        await copy.relay.own(journal, 0)
    copy.relay.start()
    event = AccountOpened(account=ACCOUNT)
    copy.relay.feed(
        [Committed(build(journal, Head(), epoch=1, ts=1, events=[event]), [event]) for journal in (1, 2, 3)]
    )
    await asyncio.wait_for(copy.relay.flush(), 20)
    await copy.relay.stop()
    assert copy.taken == [1, 3]


def test_a_message_stays_far_below_what_the_bus_takes() -> None:
    assert MESSAGE_BYTES_MAX * 2 < 2 * 1024 * 1024
