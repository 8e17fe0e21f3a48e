"""Clients that keep a record: every request sent, every byte received.

Requests start by the clock, whether or not the ones before them have ended, and are tried again as an SDK does.
Every try has a number of input tokens of its own, so that it can be found again in the ledger and in the provider's
tally.
"""

import asyncio
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from tests.faults.house import Wallet

Ending = Literal["complete", "refused", "told", "cut", "aborted", "no_answer", "hung"]
"""told: an error inside a stream. cut: the connection ended before the answer did. hung: nothing for PATIENCE_S."""

PATIENCE_S: Final = 45.0
TIMEOUT_ASKED: Final = "15s"
BYTES_PER_TOKEN: Final = 4
TOKENS_FIRST: Final = 12
CHUNKS: Final = 6
TRIES_MAX: Final = 6
RETRIED: Final = frozenset((408, 409, 429, 500, 502, 503, 504))
TERMINATOR: Final = b"data: [DONE]"
NUSD_PER_DOLLAR: Final = 10**9

_numbers = itertools.count(TOKENS_FIRST)


@dataclass(frozen=True)
class Ask:
    """What a client wants. `abort_after`: hang up after so many pieces of content; `abort_s`: after so many seconds.

    `tokens_input` is each try's own unless it is given.
    """

    model: str = "simulator:echo"
    is_stream: bool = False
    abort_after: int | None = None
    abort_s: float | None = None
    max_tokens: int = 4_096
    fallbacks: tuple[str, ...] = ()
    tries_max: int = TRIES_MAX
    tokens_input: int | None = None


@dataclass
class Try:
    """One HTTP request and what came of it. `tokens_input` names it; times are Unix seconds."""

    wallet: Wallet
    ask: Ask
    tokens_input: int
    sent_at: float = field(default_factory=time.time)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ending: Ending = "no_answer"
    ended_at: float = 0.0

    @property
    def request_id(self) -> str:
        """As the gateway named it; empty when no head arrived."""
        return self.headers.get("tollway-request-id", "")

    @property
    def receipt_nusd(self) -> int | None:
        """What the client was told that it cost."""
        said = self.headers.get("tollway-cost") or _comment(self.data).get("tollway-cost")
        return None if said is None else nusd_of(said)

    @property
    def content_pieces(self) -> int:
        """Events with content that arrived."""
        return sum(1 for event in _events(self.data) if _content(event))


def nusd_of(dollars: str) -> int:
    """Decimal dollars to nano-dollars, exactly."""
    whole, _, part = dollars.partition(".")
    assert len(part) <= 9, dollars
    return int(whole) * NUSD_PER_DOLLAR + int(part.ljust(9, "0"))


def _comment(data: bytes) -> dict[str, str]:
    """The receipt in the last comment line of a stream."""
    lines = [line[2:].decode() for line in data.splitlines() if line.startswith(b": tollway-request-id=")]
    return dict(word.partition("=")[::2] for word in lines[-1].split()) if lines else {}


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        if line.startswith(b"data: {"):
            try:
                yield json.loads(line[6:])
            except json.JSONDecodeError:
                continue


def _content(event: dict[str, Any]) -> str:
    return "".join((choice.get("delta") or {}).get("content") or "" for choice in event.get("choices", ()))


def text_of(tokens: int) -> str:
    """A text of so many tokens (by the simulator's rule) in CHUNKS words."""
    size = tokens * BYTES_PER_TOKEN
    word = f"{tokens:05d}".ljust(max(5, size // CHUNKS - 1), "x")
    text = " ".join([word] * CHUNKS)
    return text[:size].rstrip().ljust(size, "y")


def body_of(ask: Ask, tokens: int) -> bytes:
    """The request's body."""
    told: dict[str, Any] = {
        "model": ask.model,
        "messages": [{"role": "user", "content": text_of(tokens)}],
        "max_tokens": ask.max_tokens,
    }
    if ask.fallbacks:
        told["models"] = list(ask.fallbacks)
    if ask.is_stream:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(told).encode()


# -- one try


async def attempt(address: str, wallet: Wallet, ask: Ask) -> Try:
    """One HTTP request on a connection of its own."""
    tried = Try(wallet, ask, next(_numbers) if ask.tokens_input is None else ask.tokens_input)
    try:
        async with asyncio.timeout(PATIENCE_S if ask.abort_s is None else ask.abort_s):
            tried.ending = await _exchanged(address, tried)
    except TimeoutError:
        tried.ending = "hung" if ask.abort_s is None else "aborted"
    except (OSError, asyncio.IncompleteReadError):
        tried.ending = "cut" if tried.status else "no_answer"
    tried.ended_at = time.time()
    return tried


async def _exchanged(address: str, tried: Try) -> Ending:
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(_head(tried) + body_of(tried.ask, tried.tokens_input))
        await writer.drain()
        await _read_head(reader, tried)
        return await _read_body(reader, tried)
    finally:
        writer.transport.abort()


def _head(tried: Try) -> bytes:
    size = len(body_of(tried.ask, tried.tokens_input))
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: tollway",
        f"Authorization: Bearer {tried.wallet.access_key}",
        "Content-Type: application/json",
        f"Content-Length: {size}",
        f"tollway-timeout: {TIMEOUT_ASKED}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode()


async def _read_head(reader: asyncio.StreamReader, tried: Try) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    tried.status = int(head[0].split()[1])
    named = (line.partition(":") for line in head[1:] if line)
    tried.headers = {name.strip().lower(): value.strip() for name, _, value in named}


async def _read_body(reader: asyncio.StreamReader, tried: Try) -> Ending:
    if "content-length" in tried.headers:
        tried.data = await reader.readexactly(int(tried.headers["content-length"]))
        return "complete" if tried.status == 200 else "refused"
    while size := int((await reader.readline()).strip() or b"-1", 16):
        if size < 0:
            return "cut"
        tried.data += (await reader.readexactly(size + 2))[:-2]
        if tried.ask.abort_after is not None and tried.content_pieces >= tried.ask.abort_after:
            return "aborted"
    return _ending_of_stream(tried.data)


def _ending_of_stream(data: bytes) -> Ending:
    """A success terminator means success; an error event means that the caller was told."""
    is_error = any("error" in event for event in _events(data))
    if TERMINATOR in data:
        assert not is_error, "a stream ended in an error and in success"
        return "complete"
    return "told" if is_error else "cut"


# -- many


async def pursue(address: str, wallet: Wallet, ask: Ask, *, keep: Callable[[Try], None]) -> Try:
    """One request, tried again as an SDK does; the last try."""
    count = 0
    while True:
        tried = await attempt(address, wallet, ask)
        keep(tried)
        count += 1
        is_retried = tried.ending == "no_answer" or (tried.ending == "refused" and tried.status in RETRIED)
        if not is_retried or count == ask.tries_max:
            return tried
        await asyncio.sleep(min(2.0, 0.125 * 2**count) * random.uniform(0.75, 1.0))


KINDS: Final = (
    Ask(),
    Ask("simulator:echo;chunks=6;delay=30", is_stream=True),
    Ask("simulator:echo;delay=40"),
    Ask("simulator:fail-503", fallbacks=("simulator:echo",)),
    Ask("simulator:echo;chunks=12;delay=15", is_stream=True),
    Ask("simulator:echo;chunks=8;delay=40", is_stream=True, abort_after=3),
)
"""The mixture: JSON and streams, slow ones, a failover, a client that hangs up."""


class Storm:
    """Load from a thread of its own: `with Storm(...) as storm: hurt something`; leaving it waits for every answer.

    `rate` requests start each second until `requests` have started, or until `stop` is called.
    """

    def __init__(
        self,
        address: str,
        wallets: Sequence[Wallet],
        *,
        requests: int = 120,
        rate: float = 20.0,
        kinds: Sequence[Ask] = KINDS,
    ) -> None:
        self.tries: list[Try] = []
        self.last: list[Try] = []
        """The last try of each request."""
        self.started = 0
        self._address = address
        self._wallets = wallets
        self._requests = requests
        self._pause_s = 1 / rate
        self._kinds = kinds
        self._is_stopped = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._blow()), name="storm")

    def __enter__(self) -> "Storm":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if _error[0] is not None:
            self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Start no more requests."""
        self._is_stopped = True

    async def _blow(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._requests):
                if self._is_stopped:
                    return
                wallet = self._wallets[number % len(self._wallets)]
                ask = self._kinds[number % len(self._kinds)]
                group.create_task(self._pursue(wallet, ask))
                self.started += 1
                await asyncio.sleep(self._pause_s)

    async def _pursue(self, wallet: Wallet, ask: Ask) -> None:
        self.last.append(await pursue(self._address, wallet, ask, keep=self.tries.append))

    def is_served_again(self) -> bool:
        """Whether a request from now, tried again as an SDK does, gets its answer. It is in the record too."""
        last = asyncio.run(pursue(self._address, self._wallets[0], Ask(), keep=self.tries.append))
        return last.ending == "complete"

    def completed(self) -> list[Try]:
        """Tries whose whole answer arrived."""
        return [tried for tried in self.tries if tried.ending == "complete"]


def together(address: str, wallet: Wallet, asks: Sequence[Ask]) -> list[Try]:
    """All at the same moment, each once."""

    async def run() -> list[Try]:
        return await asyncio.gather(*(attempt(address, wallet, ask) for ask in asks))

    return asyncio.run(run())


def attempt_once(address: str, wallet: Wallet, ask: Ask) -> Try:
    """One request, from a test that waits for it."""
    return asyncio.run(attempt(address, wallet, ask))
