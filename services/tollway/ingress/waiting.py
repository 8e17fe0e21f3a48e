"""Pieces on their way from an adapter to the exchange that waits for them.

One subscription per process; each dispatch has a token. A wait ends by a piece with `end`, or it is lost: the caller
hung up, the adapter fell silent, the bus lost a piece, or the time is up.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from tollway import clock
from tollway.wire.envelope import Context
from tollway.wire.usage import Outcome
from tollway.wire.work import Beat, Piece

Loss = Literal["client_gone", "adapter_lost", "bus_lost", "time_up"]

Quiet = Literal["quiet"]

SILENCE_MAX_S: Final = 3.0
"""An adapter that is not heard for so long is taken for dead, and so is work that gives no sign, due every second."""
FIRST_SIGN_S: Final = 1.6
"""An adapter gives a sign within 0.25 s; without any the work is given to another."""
BEAT_WITHIN_S: Final = 1.5
"""Every service beats once a second: whoever listens for so long has heard all that live."""
ENDED_KEPT_S: Final = 60.0
LOOK_EVERY_S: Final = 0.5

OUTCOME_OF_LOSS: Final[dict[Loss, Outcome]] = {
    "client_gone": "client_aborted",
    "adapter_lost": "gateway_failed",
    "bus_lost": "gateway_failed",
    "time_up": "deadline",
}


class Wait:
    """The pieces of one request, in order. `loss` ends it before its time. `quiet_after_s`: without a piece for so long
    `next` says that it is quiet; 0: never."""

    __slots__ = (
        "_expected",
        "_is_quiet",
        "_pieces",
        "_waiter",
        "dispatched_at_s",
        "heard_at_s",
        "loss",
        "moved_at_s",
        "node",
        "on_no_sign",
        "quiet_after_s",
    )

    def __init__(self, *, quiet_after_s: float = 0.0) -> None:
        self.node = ""
        self.loss: Loss | None = None
        self.quiet_after_s = quiet_after_s
        self.dispatched_at_s = self.heard_at_s = self.moved_at_s = clock.monotonic_s()
        self._is_quiet = False
        self.on_no_sign: Callable[[], None] | None = None
        self._expected = 0
        self._pieces: deque[Piece] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def push(self, piece: Piece) -> None:
        """Take a piece off the bus. Signs of life carry the number that comes next."""
        self.node = piece.node or self.node
        self.heard_at_s = clock.monotonic_s()
        is_sign = not piece.data and piece.head is None and piece.end is None
        if piece.n > self._expected:
            self.lose("bus_lost")
        elif piece.n == self._expected and not is_sign:
            self._expected += 1
            self.moved_at_s = self.heard_at_s
            self._pieces.append(piece)
            self._wake()

    def lose(self, loss: Loss) -> None:
        """No more pieces will come, or nobody wants them. The first reason stays."""
        if self.loss is None:
            self.loss = loss
            self._wake()

    def look_quiet(self, now_s: float) -> None:
        """Has nothing come for long?"""
        if self.quiet_after_s and now_s - self.moved_at_s >= self.quiet_after_s:
            self.moved_at_s, self._is_quiet = now_s, True
            self._wake()

    async def next(self) -> Piece | Loss | Quiet:
        """The next piece, or why there is none. What came before a loss is still handed out, except to nobody."""
        self._is_quiet = False
        while not self._pieces and self.loss is None:
            if self._is_quiet:
                return "quiet"
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.loss == "client_gone":
            return self.loss
        return self._pieces.popleft() if self._pieces else (self.loss or "bus_lost")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class WaitingRoom:
    """All waits of this process, and which adapters are alive."""

    def __init__(self, cancel: Callable[[str, str, Outcome, bool], None]) -> None:
        """`cancel(node, dispatch_id, outcome, is_superseded)` tells an adapter to stop."""
        self._waits: dict[str, Wait] = {}
        self._ended: dict[str, tuple[float, Outcome, bool]] = {}
        self._heard: dict[str, tuple[float, str]] = {}
        self._listens_since_s = -BEAT_WITHIN_S
        self._cancel = cancel

    def listen_anew(self) -> None:
        """From now on beats are heard that were not before. Until all have had time to beat, nobody counts as dead."""
        self._listens_since_s = clock.monotonic_s()

    def open(self, dispatch_id: str, wait: Wait) -> None:
        """Pieces of this dispatch are wanted from now on."""
        wait.dispatched_at_s = clock.monotonic_s()
        self._waits[dispatch_id] = wait

    def close(self, dispatch_id: str) -> None:
        """The answer is whole."""
        self._waits.pop(dispatch_id, None)

    def abandon(self, dispatch_id: str, outcome: Outcome, *, is_superseded: bool = False) -> None:
        """Nobody wants the pieces any more: tell the adapter, now if it is known, else when it is first heard."""
        wait = self._waits.pop(dispatch_id, None)
        if wait is None:
            return
        self._ended[dispatch_id] = (clock.monotonic_s(), outcome, is_superseded)
        if wait.node:
            self._cancel(wait.node, dispatch_id, outcome, is_superseded)

    def take(self, piece: Piece, _context: Context, subject: str) -> None:
        """A piece off the bus."""
        dispatch_id = subject.rpartition(".")[2]
        wait = self._waits.get(dispatch_id)
        if wait is not None:
            wait.push(piece)
        elif piece.node and piece.end is None:
            _, outcome, is_superseded = self._ended.get(dispatch_id, (0.0, "gateway_failed", False))
            self._cancel(piece.node, dispatch_id, outcome, is_superseded)

    def hear(self, beat: Beat, _context: Context, _subject: str) -> None:
        """An adapter's heartbeat."""
        if beat.role == "adapter":
            if beat.is_ready:
                self._heard[beat.node] = (clock.monotonic_s(), beat.pool)
            elif beat.node in self._heard:
                self._heard[beat.node] = (clock.monotonic_s(), "")

    def is_served(self, pool: str) -> bool:
        """Whether any adapter of the pool was heard of late, or may still be."""
        now = clock.monotonic_s()
        is_heard = any(now - at < SILENCE_MAX_S and of == pool for at, of in self._heard.values())
        return is_heard or now - self._listens_since_s < BEAT_WITHIN_S

    def look(self) -> None:
        """Find adapters that fell silent and dispatches without a sign; runs every LOOK_EVERY_S."""
        now = clock.monotonic_s()
        for wait in list(self._waits.values()):
            self._look_at(wait, now)
        for dispatch_id in [key for key, (at, _, _) in self._ended.items() if now - at > ENDED_KEPT_S]:
            del self._ended[dispatch_id]
        for node in [node for node, (at, _) in self._heard.items() if now - at > ENDED_KEPT_S]:
            del self._heard[node]

    def _look_at(self, wait: Wait, now: float) -> None:
        wait.look_quiet(now)
        if wait.node:
            if now - wait.heard_at_s > SILENCE_MAX_S:
                wait.lose("adapter_lost")
        elif now - wait.dispatched_at_s > FIRST_SIGN_S and wait.on_no_sign is not None:
            wait.on_no_sign()

    @property
    def count(self) -> int:
        """Requests that wait now."""
        return len(self._waits)
