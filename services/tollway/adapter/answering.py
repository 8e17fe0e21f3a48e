"""Pieces on their way to ingress: numbered without gaps, under the client's window, never silent for long."""

import asyncio
from typing import Final

from tollway.bus import Bus
from tollway.wire.envelope import Context
from tollway.wire.work import WINDOW_BYTES, End, Head, Piece, Work

PIECE_BYTES_MAX: Final = 256 * 1024
FIRST_SIGN_S: Final = 0.25
SIGN_S: Final = 1.0
STALL_S: Final = 60.0


class Reply:
    """The answer to one piece of work. Ingress may be WINDOW_BYTES behind; then the provider waits."""

    __slots__ = (
        "_bus",
        "_context",
        "_inbox",
        "_is_abandoned",
        "_is_heard",
        "_n",
        "_node",
        "_sent",
        "_taken",
        "_waiter",
        "is_broken",
        "last_s",
        "stalls",
    )

    def __init__(self, bus: Bus, work: Work, context: Context, now_s: float) -> None:
        self._bus = bus
        self._inbox = work.inbox
        self._context = context
        self._node = bus.node
        self._n = 0
        self._is_heard = False
        self._sent = 0
        self._taken = 0
        self._waiter: asyncio.Future[None] | None = None
        self.is_broken = self._is_abandoned = False
        self.last_s = now_s
        self.stalls = 0

    @property
    def pieces(self) -> int:
        """How many were sent."""
        return self._n

    @property
    def sent_bytes(self) -> int:
        """How many bytes of the answer were sent."""
        return self._sent

    @property
    def is_cut_off(self) -> bool:
        """Whether ingress misses a piece, or would miss one now."""
        return self.is_broken or not self._bus.is_connected

    def send(self, data: bytes, *, now_s: float, head: Head | None = None) -> None:
        """Send data, in as many pieces as it takes; the head goes with the first."""
        for at in range(0, len(data) or 1, PIECE_BYTES_MAX):
            self._tell(data[at : at + PIECE_BYTES_MAX], head if at == 0 else None, None, now_s)

    async def send_all(self, data: bytes, *, head: Head | None, end: End) -> None:
        """Send the last of an answer, however large, as the client takes it. A client that takes nothing for a minute
        is left behind."""
        clock_s = asyncio.get_running_loop().time
        while len(data) > PIECE_BYTES_MAX and not self._is_abandoned:
            self._tell(data[:PIECE_BYTES_MAX], head, None, clock_s())
            data, head = data[PIECE_BYTES_MAX:], None
            if self.is_full and not await self._has_room_within(STALL_S):
                return
        self._tell(data, head, end, clock_s())

    def abandon(self) -> None:
        """Nobody wants the rest."""
        self._is_abandoned = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _has_room_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.room()
        except TimeoutError:
            return False
        return not self._is_abandoned

    def sign(self, now_s: float) -> None:
        """A sign of life, if one is due: soon for who works on it, then every second."""
        if now_s - self.last_s >= (SIGN_S if self._is_heard else FIRST_SIGN_S):
            self._tell(b"", None, None, now_s)

    def taken(self, bytes_taken: int) -> None:
        """The client has taken so many bytes in all."""
        self._taken = max(self._taken, bytes_taken)
        if self._waiter is not None and not self._waiter.done() and not self.is_full:
            self._waiter.set_result(None)

    @property
    def is_full(self) -> bool:
        """Whether the client must take something first."""
        return self._sent - self._taken >= WINDOW_BYTES

    async def room(self) -> None:
        """Wait until the client has taken enough."""
        self.stalls += 1
        while self.is_full and not self._is_abandoned:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _tell(self, data: bytes, head: Head | None, end: End | None, now_s: float) -> None:
        is_sign = not data and head is None and end is None
        self.is_broken = self.is_broken or (not is_sign and not self._bus.is_connected)
        is_named = self._n == 0 or not data
        self._bus.tell(
            self._inbox, Piece(self._n, self._node if is_named else "", data, head, end), context=self._context
        )
        self._n += not is_sign  # a sign has the number of the piece that comes next: a gap shows at once
        self._is_heard = True
        self._sent += len(data)
        self.last_s = now_s
