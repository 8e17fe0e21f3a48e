"""The adapter with a real provider (the simulator) on real sockets; ingress and ledger are played by the tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from tollway import clock, ids, settings
from tollway.adapter.handlers import Adapter
from tollway.bus import Delivery
from tollway.bus.memory import Broker, MemoryBus
from tollway.runtime import Edge
from tollway.simulator import Simulator, start
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import Candidate, Price
from tollway.wire.usage import Settled, UsageFact, UsageFacts
from tollway.wire.work import Beat, Cancel, Credit, End, Head, Limits, Piece, Work


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Production runs on uvloop; the HTTP client's tests run on both loops, whose transports differ."""
    own = {"uvloop": uvloop.new_event_loop}
    return own | ({"asyncio": asyncio.new_event_loop} if item.path.name == "test_upstream.py" else {})


PRICE = Price(input=1_000_000_000, output=2_000_000_000)
ACCOUNT = "acct_1"
HOLD_NUSD = 10_000_000


def candidate(model: str = "echo", **more: Any) -> Candidate:
    """One of the simulator's models on the operator's credential."""
    facts = {
        "provider": "simulator",
        "provider_name": "Simulator",
        "model": model.partition(";")[0],
        "model_name": model,
        "model_sent": model,
        "dialect": "openai_chat",
        "credential_id": "managed:simulator",
        "is_managed": True,
        "price": PRICE,
    }
    return Candidate(**(facts | more))


@dataclass
class Answer:
    """What ingress got of one piece of work."""

    request_id: str
    dispatch_id: str
    pieces: list[Piece] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    node: str = ""
    signs: int = 0

    def hear(self, piece: Piece) -> None:
        assert piece.n == len(self.pieces) - self.signs, "pieces are numbered without gaps, signs of life are none"
        self.signs += not piece.data and piece.head is None and piece.end is None
        self.pieces.append(piece)
        self.node = self.node or piece.node
        if piece.head is not None:
            self.begun.set()
        if piece.end is not None:
            self.ended.set()

    @property
    def data(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)

    @property
    def head(self) -> Head | None:
        return next((piece.head for piece in self.pieces if piece.head is not None), None)

    @property
    def end(self) -> End:
        end = self.pieces[-1].end
        assert end is not None
        return end

    @property
    def text(self) -> str:
        """The words of a chat answer, whole or streamed."""
        if not self.data.startswith(b"data:"):
            return str(msgspec.json.decode(self.data)["choices"][0]["message"]["content"])
        chunks = [line[6:] for line in self.data.splitlines() if line.startswith(b"data: {")]
        parts = [
            choice["delta"].get("content") or "" for raw in chunks for choice in msgspec.json.decode(raw)["choices"]
        ]
        return "".join(parts)

    @property
    def has_terminator(self) -> bool:
        return b"data: [DONE]" in self.data


@dataclass
class Bench:
    """An adapter at work, seen from ingress, ledger and provider."""

    broker: Broker
    adapter: Adapter
    simulator: Simulator
    ingress: MemoryBus
    facts: dict[str, list[UsageFact]]
    data_dir: Path
    is_settling: bool = True

    def work(self, *candidates: Candidate, is_stream: bool = False, message: str = "hello there", **more: Any) -> Work:
        request_id, dispatch_id = ids.new_id("rq"), ids.new_span_id()
        body = {"model": "x", "messages": [{"role": "user", "content": message}], "stream": is_stream}
        facts: dict[str, Any] = {
            "request_id": request_id,
            "dispatch_id": dispatch_id,
            "account_id": ACCOUNT,
            "access_key_id": "aigk_1",
            "node": "ingress-1",
            "inbox": subjects.inbox("ingress-1", dispatch_id),
            "dialect": "openai_chat",
            "surface": "chat",
            "is_stream": is_stream,
            "candidates": candidates,
            "limits": Limits(attempt_s=5, first_token_s=5, chunk_gap_s=5, connect_s=2),
            "deadline_ms": clock.now_ms() + 20_000,
            "price_version": "v1",
            "tokens_input_bound": 1000,
            "tokens_output_cap": 2048,
            "tokens_output_wanted": 2048,
            "hold_amount_nusd": HOLD_NUSD,
            "body": msgspec.json.encode(body),
        }
        return Work(**(facts | more))

    async def send(self, work: Work, *, is_crediting: bool = True) -> Answer:
        """Dispatch it; the answer fills as pieces come."""
        answer = Answer(work.request_id, work.dispatch_id)

        def hear(piece: Piece, _context: Context, _subject: str) -> None:
            answer.hear(piece)
            if is_crediting and answer.node:
                self.credit(answer, len(answer.data))

        await self.ingress.listen(work.inbox, [Piece], hear)
        self.ingress.tell(subjects.dispatch("default"), work, context=Context(work.request_id))
        return answer

    async def ask(self, work: Work) -> Answer:
        """Dispatch it and wait for its end."""
        answer = await self.send(work)
        async with asyncio.timeout(30):
            await answer.ended.wait()
        return answer

    def credit(self, answer: Answer, bytes_taken: int) -> None:
        self.ingress.tell(subjects.flow(self.adapter.bus.node), Credit(answer.dispatch_id, bytes_taken))

    def cancel(self, answer: Answer, outcome: Any = "client_aborted", *, is_superseded: bool = False) -> None:
        self.ingress.tell(subjects.flow(self.adapter.bus.node), Cancel(answer.dispatch_id, outcome, is_superseded))

    async def fact(self, answer: Answer) -> UsageFact:
        """The one fact of a piece of work."""
        await until(lambda: answer.request_id in self.facts)
        found = self.facts[answer.request_id]
        assert len({msgspec.msgpack.encode(fact) for fact in found}) == 1, "one piece of work has one fact"
        return found[0]


async def until(is_true: Callable[[], Any], *, within_s: float = 10.0) -> None:
    """Wait for something that happens by itself; fails if it does not."""
    async with asyncio.timeout(within_s):
        while not is_true():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.005)


class RawProvider:
    """A provider made of a socket: `script` writes whatever it wants after each request was read."""

    def __init__(self, script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "RawProvider":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def candidate(self, **more: Any) -> Candidate:
        """A custom provider of the account's own, without a key."""
        own = {
            "provider": "mine",
            "credential_id": "",
            "is_managed": False,
            "price": None,
            "base_url": f"http://127.0.0.1:{self.port}/v1",
            "is_private_address_allowed": True,
        }
        return candidate("m", **(own | more))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self._script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def open_bench(data_dir: Path, environ: dict[str, str] | None = None, broker: Broker | None = None) -> Bench:
    simulator = await start()
    broker = broker or Broker()
    told = settings.read(
        "adapter",
        {
            "TOLLWAY_DATA_DIR": str(data_dir),
            "TOLLWAY_SIMULATOR_BASE_URL": simulator.base_url + "/v1",
            "TOLLWAY_ALLOW_PRIVATE_CIDRS": "loopback",
            **(environ or {}),
        },
    )
    adapter = Adapter(Edge(told, MemoryBus(told.node, broker), Telemetry(told)))
    await adapter.start()
    await adapter.bus.serve(adapter.HANDLERS, adapter, queue="adapter")
    bench = Bench(broker, adapter, simulator, MemoryBus("ingress-1", broker), {}, data_dir)
    await _play_ledger(bench)
    return bench


async def _play_ledger(bench: Bench) -> None:
    ledger = MemoryBus("ledger-1", bench.broker)

    async def settle(delivery: Delivery) -> None:
        for fact in delivery.body.facts:
            bench.facts.setdefault(fact.hold_id, []).append(fact)
            if bench.is_settling:
                ledger.tell(subjects.settled(fact.outbox), Settled([fact.hold_id]))
        await delivery.ack()

    await ledger.follow("USAGE", [subjects.USAGE_ALL], [UsageFacts], settle, durable="ledger")
    bench.ledger = ledger  # type: ignore[attr-defined]


async def close_bench(bench: Bench) -> None:
    await bench.adapter.stop()
    await bench.simulator.stop()
    await bench.adapter.bus.drain()
    await bench.ingress.drain()
    await bench.ledger.drain()  # type: ignore[attr-defined]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    opened = await open_bench(tmp_path)
    yield opened
    await close_bench(opened)


__all__ = ["Answer", "Beat", "Bench", "RawProvider", "candidate", "close_bench", "open_bench", "until"]
