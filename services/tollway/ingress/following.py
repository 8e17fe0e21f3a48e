"""A request that follows another one with the same Idempotency-Key: its answer while it grows, or as it was."""

import asyncio
from typing import Final

from tollway.dialects.bridge import CONTENT_TYPE_SSE, error_event, error_event_of
from tollway.ingress.journey import Journey
from tollway.ingress.replay import Record
from tollway.ingress.way_out import WAITING, say_no
from tollway.wire.refusals import Refusal, refuse

REPLAYED: Final = {"tollway-replayed": "true"}


async def follow(journey: Journey, record: Record, *, quiet_after_s: float) -> None:
    """Send what the request that leads is, or was, sent. `quiet_after_s`: a stream's caller is told to wait after so
    long, and again; 0: never. Who follows and hangs up is left; who leads goes on as long as anybody waits."""
    following = _Following(journey, record, quiet_after_s)
    record.join()
    journey.exchange.watch(following.leave)
    try:
        await following.run()
    finally:
        journey.exchange.unwatch()
        record.leave()


class _Following:
    def __init__(self, journey: Journey, record: Record, quiet_after_s: float) -> None:
        self._journey = journey
        self._exchange = journey.exchange
        self._record = record
        self._quiet_after_s = quiet_after_s
        self._is_gone = False

    def leave(self) -> None:
        """The caller hung up."""
        self._is_gone = True
        self._record.wake()

    async def run(self) -> None:
        record = self._record
        while not (record.parts or record.is_over or self._is_gone):
            await self._wait()
        if self._is_gone:
            self._journey.refusal, self._journey.loss = refuse("client_closed"), "client_gone"
        elif record.status and record.is_stream:
            await self._stream()
        elif record.status:
            await self._whole()
        else:
            await self._refuse(refuse("gateway_unavailable", "The request that led with this key was cut off."))

    async def _wait(self) -> None:
        """Until there is more, or it is time to say that there is not."""
        try:
            async with asyncio.timeout(self._quiet_after_s or None):
                await self._record.grown()
        except TimeoutError:
            await self._begin()
            await self._exchange.remark(WAITING)

    async def _begin(self) -> None:
        if not self._exchange.is_begun:
            await self._exchange.begin(200, CONTENT_TYPE_SSE, {**self._record.headers, **REPLAYED})

    async def _whole(self) -> None:
        record, journey = self._record, self._journey
        body = b"".join(record.parts)
        if self._exchange.is_begun:
            await self._exchange.close(error_event_of(journey.door.dialect, record.status, body, journey.request_id))
        else:
            await self._exchange.answer(record.status, body, record.content_type, {**record.headers, **REPLAYED})

    async def _stream(self) -> None:
        await self._begin()
        record, sent = self._record, 0
        while not self._is_gone and (sent < len(record.parts) or not record.is_over):
            if sent == len(record.parts):
                await self._wait()
            else:
                await self._exchange.send(record.parts[sent])
                sent += 1
        if record.is_closed:
            await self._exchange.close()
        elif not self._is_gone:
            await self._refuse(refuse("gateway_unavailable", "The request that led with this key was cut off."))

    async def _refuse(self, refusal: Refusal) -> None:
        journey = self._journey
        if not self._exchange.is_begun:
            await say_no(journey, refusal)
            return
        journey.refusal = refusal
        await self._exchange.close(error_event(journey.door.dialect, refusal, journey.request_id))
