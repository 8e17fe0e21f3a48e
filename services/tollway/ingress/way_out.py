"""The way out: pieces of an answer to the caller, never an end that looks like success unless it is one."""

from tollway import clock
from tollway.crash import crashpoint
from tollway.dialects.bridge import CONTENT_TYPE_SSE, error_event, error_event_of
from tollway.ingress import domain
from tollway.ingress.journey import House, Journey
from tollway.ingress.waiting import Loss, Wait
from tollway.wire import subjects
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.work import WINDOW_BYTES, Credit, End, Head, Piece

WAITING = b": waiting\n\n"
"""A comment of server-sent events, which clients ignore."""


async def relay(house: House, journey: Journey, wait: Wait, *, is_stream: bool) -> None:
    """The answer, as its pieces come, to its end or to the loss of it."""
    first = await _next(journey, wait)
    if not isinstance(first, Piece):
        await _lost(journey, first)
    elif first.head is None and not journey.exchange.is_begun:
        await _finish_unbegun(journey, first)
    elif first.head is not None and is_stream and first.head.content_type.startswith("text/event-stream"):
        await _stream(house, journey, wait, first)
    else:
        await _whole(house, journey, wait, first)


async def _next(journey: Journey, wait: Wait) -> Piece | Loss:
    """The next piece; while a stream is quiet its caller is told that it is waited for."""
    while (found := await wait.next()) == "quiet":
        await _remark(journey)
    return found


async def _remark(journey: Journey) -> None:
    """Keep the caller, and what lies between, from giving up. From the first one on the status is 200."""
    exchange = journey.exchange
    if not exchange.is_begun:
        headers = {name: value for name, value in _receipt(journey).items() if name != "tollway-attempts"}
        await exchange.begin(200, CONTENT_TYPE_SSE, headers)
    await exchange.remark(WAITING)


async def _finish_unbegun(journey: Journey, piece: Piece) -> None:
    """An end without a head: a refusal that ingress says in the caller's dialect."""
    journey.end = piece.end
    refusal = piece.end.refusal if piece.end is not None else None
    await say_no(journey, refusal or refuse("internal_error"))


async def _whole(house: House, journey: Journey, wait: Wait, first: Piece) -> None:
    """A JSON answer: mostly one piece. It is sent when it is whole, with its cost in the header."""
    parts: list[bytes] = []
    piece: Piece | Loss = first
    flow = _Flow(house, journey, wait)
    while isinstance(piece, Piece):
        journey.head = journey.head or piece.head
        parts.append(piece.data)
        if piece.end is not None:
            finish = _say_in_band if journey.exchange.is_begun else _send_whole
            await finish(journey, b"".join(parts), piece.end)
            return
        flow.took(len(piece.data))
        piece = await _next(journey, wait)
    await _lost(journey, piece)


async def _send_whole(journey: Journey, body: bytes, end: End) -> None:
    journey.end = end
    if end.refusal is not None:
        await say_no(journey, end.refusal)
        return
    head = journey.head or Head(200, "application/json", end.attempts)
    journey.first_out_ns = clock.now_ns()
    headers = {**head.headers, **_receipt(journey)}
    await journey.exchange.answer(head.status, body, head.content_type, headers)


async def _say_in_band(journey: Journey, body: bytes, end: End) -> None:
    """What is no stream came after the caller was told to wait for one: an error, and said as one."""
    if end.refusal is not None:
        await _close_stream(journey, b"", end)
        return
    journey.end = end
    status = journey.head.status if journey.head is not None else 502
    await journey.exchange.close(error_event_of(journey.door.dialect, status, body, journey.request_id))


async def _stream(house: House, journey: Journey, wait: Wait, first: Piece) -> None:
    """Piece by piece, as quick as the caller takes them; never an end that looks like success unless it is one."""
    exchange = journey.exchange
    journey.head = first.head
    assert first.head is not None
    if not exchange.is_begun:
        await exchange.begin(first.head.status, first.head.content_type, {**first.head.headers, **_receipt(journey)})
    journey.first_out_ns = clock.now_ns()
    flow = _Flow(house, journey, wait)
    piece: Piece | Loss = first
    while isinstance(piece, Piece):
        journey.pieces += 1
        if piece.end is not None:
            await _close_stream(journey, piece.data, piece.end)
            return
        await exchange.send(piece.data)
        flow.took(len(piece.data))
        crashpoint("ingress.mid_stream")
        piece = await _next(journey, wait)
    await _lost(journey, piece)


async def _close_stream(journey: Journey, data: bytes, end: End) -> None:
    journey.end = end
    if end.refusal is not None:
        journey.refusal = end.refusal
        data += error_event(journey.door.dialect, end.refusal, journey.request_id)
    await journey.exchange.close(data)
    crashpoint("ingress.after_last_chunk")


class _Flow:
    """Tells the adapter how much the caller has taken, a quarter of a window at a time."""

    def __init__(self, house: House, journey: Journey, wait: Wait) -> None:
        self._house, self._journey, self._wait = house, journey, wait
        self._taken = self._told = 0

    def took(self, size_bytes: int) -> None:
        """These bytes are on their way to the caller."""
        self._taken += size_bytes
        if self._taken - self._told >= WINDOW_BYTES // 4 and self._wait.node:
            self._told = self._taken
            credit = Credit(self._journey.dispatch_id, self._taken)
            self._house.bus.tell(subjects.flow(self._wait.node), credit)


_SAID_OF_LOSS: dict[Loss, str] = {
    "client_gone": "client_closed",
    "adapter_lost": "gateway_unavailable",
    "bus_lost": "gateway_unavailable",
    "time_up": "total_timeout",
}


async def _lost(journey: Journey, loss: Loss) -> None:
    """The pieces stopped coming: say so, in-band if the stream has begun."""
    journey.loss = loss
    refusal = refuse(_SAID_OF_LOSS[loss])
    if loss == "client_gone":
        journey.refusal = refusal
    elif journey.exchange.is_begun:
        journey.refusal = refusal
        await journey.exchange.close(error_event(journey.door.dialect, refusal, journey.request_id))
    else:
        await say_no(journey, refusal)


async def say_no(journey: Journey, refusal: Refusal) -> None:
    """A refusal, as the whole answer."""
    journey.refusal = refusal
    headers = _receipt(journey)
    await journey.exchange.refuse(refusal, journey.door.dialect, journey.request_id, headers)


def _receipt(journey: Journey) -> dict[str, str]:
    head, end = journey.head, journey.end
    attempts = end.attempts if end is not None else head.attempts if head is not None else 0
    model = (end.model if end is not None else "") or (head.model if head is not None else "")
    return domain.receipt_headers(journey.request_id, journey.begun.trace, end, attempts=attempts, model=model)
