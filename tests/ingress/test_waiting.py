"""Pieces, in order or not at all."""

import asyncio

import pytest

from tollway import clock
from tollway.ingress.waiting import BEAT_WITHIN_S, SILENCE_MAX_S, Wait, WaitingRoom
from tollway.wire.envelope import Context
from tollway.wire.subjects import inbox
from tollway.wire.usage import Outcome
from tollway.wire.work import Beat, End, Head, Piece

NOTHING = Context()


class Calls:
    def __init__(self) -> None:
        self.cancelled: list[tuple[str, str, Outcome, bool]] = []
        self.room = WaitingRoom(lambda *call: self.cancelled.append(call))

    def take(self, dispatch_id: str, piece: Piece) -> None:
        self.room.take(piece, NOTHING, inbox("ingress-1", dispatch_id))


async def test_pieces_come_out_in_order() -> None:
    calls, wait = Calls(), Wait()
    calls.room.open("d1", wait)
    calls.take("d1", Piece(0, "adapter-1", b"a", Head(200, "text/event-stream", 1)))
    calls.take("d1", Piece(1, data=b"b"))
    first, second = await wait.next(), await wait.next()
    assert isinstance(first, Piece)
    assert isinstance(second, Piece)
    assert (first.data, second.data, wait.node) == (b"a", b"b", "adapter-1")


async def test_a_gap_ends_the_wait_visibly_after_what_came_before_it() -> None:
    wait = Wait()
    wait.push(Piece(0, data=b"a"))
    wait.push(Piece(2, data=b"c"))
    assert isinstance(await wait.next(), Piece)
    assert await wait.next() == "bus_lost"


async def test_a_repeated_piece_changes_nothing() -> None:
    wait = Wait()
    for piece in (Piece(0, data=b"a"), Piece(0, data=b"a"), Piece(1, end=End("complete", 1))):
        wait.push(piece)
    assert isinstance(await wait.next(), Piece)
    last = await wait.next()
    assert isinstance(last, Piece)
    assert last.end is not None


async def test_a_sign_of_life_is_no_piece_but_tells_who_works() -> None:
    wait = Wait()
    wait.push(Piece(0, "adapter-1"))
    assert wait.node == "adapter-1"
    waiting = asyncio.ensure_future(wait.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    wait.push(Piece(0, data=b"a"))
    assert isinstance(await waiting, Piece)


async def test_nothing_is_handed_to_a_caller_that_is_gone() -> None:
    wait = Wait()
    wait.push(Piece(0, data=b"a"))
    wait.lose("client_gone")
    wait.lose("time_up")
    assert await wait.next() == "client_gone"


def test_an_abandoned_dispatch_is_cancelled_now_if_its_adapter_is_known() -> None:
    calls, wait = Calls(), Wait()
    calls.room.open("d1", wait)
    calls.take("d1", Piece(0, "adapter-1"))
    calls.room.abandon("d1", "client_aborted")
    assert calls.cancelled == [("adapter-1", "d1", "client_aborted", False)]


def test_an_adapter_that_is_first_heard_afterwards_is_told_then() -> None:
    calls = Calls()
    calls.room.open("d1", Wait())
    calls.room.abandon("d1", "client_aborted", is_superseded=True)
    assert calls.cancelled == []
    calls.take("d1", Piece(0, "adapter-1"))
    assert calls.cancelled == [("adapter-1", "d1", "client_aborted", True)]


def test_a_pool_is_served_while_a_ready_adapter_of_it_is_heard() -> None:
    room = Calls().room
    assert not room.is_served("default")
    room.hear(Beat("adapter", "adapter-1", 0, pool="default"), NOTHING, "")
    assert room.is_served("default")
    assert not room.is_served("other")
    room.hear(Beat("adapter", "adapter-1", 0, is_ready=False, pool="default"), NOTHING, "")
    assert not room.is_served("default")


def test_a_room_that_has_just_begun_to_listen_takes_nobody_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    room, now_s = Calls().room, 100.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    room.listen_anew()
    assert room.is_served("default")
    now_s += BEAT_WITHIN_S
    assert not room.is_served("default")
    room.listen_anew()
    assert room.is_served("default")


async def test_work_that_falls_silent_is_lost_even_if_its_adapter_is_alive() -> None:
    calls, wait = Calls(), Wait()
    calls.room.open("d1", wait)
    calls.take("d1", Piece(0, "adapter-1", b"a"))
    assert isinstance(await wait.next(), Piece)
    calls.room.look()
    assert wait.loss is None
    wait.heard_at_s -= SILENCE_MAX_S
    calls.room.hear(Beat("adapter", "adapter-1", 0, pool="default"), NOTHING, "")
    calls.room.look()
    assert await wait.next() == "adapter_lost"
