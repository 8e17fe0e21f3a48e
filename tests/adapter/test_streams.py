"""Streams and cancellation: windows, aborts at every chunk, silence, credit that runs out."""

import asyncio

import msgspec
import pytest

from tests.adapter.conftest import PRICE, Answer, Bench, RawProvider, candidate, until
from tollway.bus import Handles
from tollway.bus.memory import MemoryBus
from tollway.wire import subjects
from tollway.wire.credit import ExtendHold, HoldExtended
from tollway.wire.envelope import Context
from tollway.wire.pricing import charge_nusd
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Usage
from tollway.wire.work import BODY_PART_BYTES, WINDOW_BYTES, BodyPart, FetchBody, Limits

CHUNKS = 8
UNLIMITED = {"tokens_output_cap": 10_000_000, "tokens_output_wanted": 10_000_000}


async def _heard(answer: Answer, words: int) -> None:
    """Wait until so many words of the answer have come."""
    await until(lambda: bool(answer.pieces) and answer.data and len(answer.text) >= words * 4)


@pytest.mark.parametrize("index", range(CHUNKS + 1))
async def test_a_client_that_hangs_up_at_any_chunk_pays_what_the_provider_counts(bench: Bench, index: int) -> None:
    work = bench.work(candidate(f"echo;chunks={CHUNKS};delay=60;ttft=60"), is_stream=True, message="abcd")
    answer = await bench.send(work)
    if index:
        await _heard(answer, index)
    else:
        await until(lambda: bench.adapter.upstream.connections)
    bench.cancel(answer)
    fact = await bench.fact(answer)
    await until(lambda: len(bench.simulator.tally))
    entry = bench.simulator.tally.entries()[-1]
    if index < CHUNKS:
        assert (fact.outcome, entry.outcome) == ("client_aborted", "cancelled_by_client")
        assert fact.attempts[-1].completion == "unknown"
    assert fact.usage.tokens_output == entry.tokens_output
    billed = charge_nusd(fact.usage, PRICE, is_managed=True)
    assert billed == charge_nusd(Usage(entry.tokens_input, entry.tokens_output), PRICE, is_managed=True)
    assert bool(fact.usage.tokens_output) == bool(index), "never 0 once a content byte arrived"


async def test_a_client_that_hangs_up_frees_the_providers_connection_within_a_second(bench: Bench) -> None:
    answer = await bench.send(bench.work(candidate("fail-timeout")))
    await until(lambda: bench.adapter.upstream.connections == 1)
    bench.cancel(answer)
    await until(lambda: bench.adapter.upstream.connections == 0, within_s=1)
    assert (await bench.fact(answer)).outcome == "client_aborted"


async def test_a_json_answer_that_nobody_waits_for_is_billed_for_its_input(bench: Bench) -> None:
    answer = await bench.send(bench.work(candidate("echo;ttfb=5000"), message="four words of input"))
    await until(lambda: bench.adapter.upstream.connections == 1)
    bench.cancel(answer)
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.usage.tokens_input, fact.usage.tokens_output) == ("client_aborted", 5, 0)


async def test_a_superseded_adapter_hangs_up_and_writes_no_fact(bench: Bench) -> None:
    answer = await bench.send(bench.work(candidate("fail-timeout")))
    await until(lambda: bench.adapter.upstream.connections == 1)
    bench.cancel(answer, "gateway_failed", is_superseded=True)
    await until(lambda: bench.adapter.upstream.connections == 0)
    await until(lambda: bench.adapter.beat().in_flight == 0)
    assert bench.adapter.publisher.unsettled == 0
    assert not any(piece.end for piece in answer.pieces)


class Flood:
    """A provider that would never stop: counts what its socket took."""

    def __init__(self) -> None:
        self.written = 0

    async def __call__(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        chunk = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 4000)
        while True:
            writer.write(chunk)
            await writer.drain()
            self.written += len(chunk)
            await asyncio.sleep(0)


async def test_a_client_that_takes_nothing_stops_the_provider_and_nobodys_memory_grows(bench: Bench) -> None:
    limits = Limits(attempt_s=5, first_token_s=5, chunk_gap_s=0.2, connect_s=2)
    flood = Flood()
    async with RawProvider(flood) as provider:
        work = bench.work(provider.candidate(), is_stream=True, limits=limits, **UNLIMITED)
        answer = await bench.send(work, is_crediting=False)
        await until(lambda: len(answer.data) >= WINDOW_BYTES)
        await asyncio.sleep(0.3)
        stalled, written = len(answer.data), flood.written
        assert stalled < WINDOW_BYTES + 512 * 1024
        await asyncio.sleep(0.5)
        assert not answer.ended.is_set(), "the gap limit is the provider's, not the client's"
        assert (len(answer.data), flood.written) == (stalled, written), "the provider's socket is not read"
        bench.credit(answer, stalled)
        await until(lambda: len(answer.data) > stalled)
        bench.cancel(answer)
        assert (await bench.fact(answer)).outcome == "client_aborted"


async def test_silence_is_broken_by_a_sign_of_life_that_names_the_adapter(bench: Bench) -> None:
    answer = await bench.send(bench.work(candidate("echo;ttfb=900")))
    await until(lambda: answer.pieces)
    first = answer.pieces[0]
    assert (first.node, first.data, first.head, first.end) == (bench.adapter.bus.node, b"", None, None)
    await answer.ended.wait()
    assert answer.text == "hello there"


async def test_an_answer_that_cannot_reach_its_caller_is_not_charged(bench: Bench) -> None:
    bus = bench.adapter.bus
    assert isinstance(bus, MemoryBus)
    answer = await bench.send(bench.work(candidate("echo;ttfb=900")))
    await until(lambda: bench.simulator.tally.entries() or answer.pieces)
    bus.is_connected = False
    fact = await bench.fact(answer)
    assert (fact.outcome, answer.ended.is_set()) == ("gateway_failed", False)
    bus.is_connected = True


async def test_a_deadline_ends_all_attempts_and_says_which_limit_it_was(bench: Bench) -> None:
    work = bench.work(candidate("fail-timeout"), candidate("echo"))
    answer = await bench.ask(msgspec.structs.replace(work, deadline_ms=work.deadline_ms - 19_700))
    assert answer.end.refusal is not None
    assert (answer.end.refusal.code, answer.end.attempts) == ("total_timeout", 1)
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.attempts[0].is_timed_out) == ("failed_before_content", True)


async def test_a_body_too_large_for_one_message_is_fetched_in_parts(bench: Bench) -> None:
    work = bench.work(candidate("echo"), message="hello there", **UNLIMITED)
    body = work.body[:-1] + b" " * 700_000 + b"}"

    async def hand_out(_room: object, command: FetchBody, _context: Context) -> BodyPart:
        return BodyPart(body[command.offset : command.offset + BODY_PART_BYTES])

    await bench.ingress.serve([Handles(subjects.body("ingress-1"), FetchBody, hand_out)], None, queue="ingress")
    answer = await bench.ask(msgspec.structs.replace(work, body=b"", body_token="t", body_bytes=len(body)))
    assert answer.text == "hello there"


async def test_a_large_answer_comes_in_several_pieces(bench: Bench) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = msgspec.json.encode({"choices": [{"message": {"content": "y" * 900_000}, "finish_reason": "stop"}]})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)

    async with RawProvider(script) as provider:
        answer = await bench.ask(bench.work(provider.candidate(), **UNLIMITED))
    assert answer.text == "y" * 900_000
    assert len(answer.pieces) == 4


async def test_a_body_that_is_gone_ends_as_the_gateways_fault(bench: Bench) -> None:
    answer = await bench.ask(bench.work(candidate("echo"), body=b"", body_token="t", body_bytes=300_000))
    assert answer.end.refusal is not None
    assert answer.end.refusal.code == "gateway_unavailable"
    assert (await bench.fact(answer)).outcome == "gateway_failed"


class Purse:
    """Plays the ledger's side of extensions."""

    def __init__(self, bench: Bench, *, grants: int) -> None:
        self.asked: list[ExtendHold] = []
        self._left = grants
        self._bench = bench

    async def open(self) -> None:
        bus = MemoryBus("ledger-2", self._bench.broker)
        await bus.serve([Handles("hold.j.*", ExtendHold, self._extend)], None, queue="ledger")

    async def _extend(self, _room: object, command: ExtendHold, _context: Context) -> HoldExtended | Refusal:
        self.asked.append(command)
        self._left -= 1
        if self._left < 0:
            return refuse("insufficient_credits")
        return HoldExtended(command.hold_id, command.nth, command.delta_nusd)


def _long(bench: Bench, model: str = "echo;chunks=100;size=12000;delay=2"):
    return bench.work(candidate(model), is_stream=True, tokens_output_cap=1000, tokens_output_wanted=8000)


async def test_a_long_stream_asks_for_more_credit_ahead_of_need(bench: Bench) -> None:
    purse = Purse(bench, grants=9)
    await purse.open()
    answer = await bench.ask(_long(bench))
    assert answer.end.outcome == "complete"
    assert [it.nth for it in purse.asked] == list(range(1, len(purse.asked) + 1))
    assert purse.asked[0].delta_nusd >= 2048 * 2050, "the next slice at the dearest price and fee"


async def test_credit_that_runs_out_ends_the_stream_as_its_limit_would(bench: Bench) -> None:
    purse = Purse(bench, grants=0)
    await purse.open()
    answer = await bench.ask(_long(bench))
    assert (answer.end.outcome, answer.end.stop) == ("credit_exhausted", "insufficient_credits")
    assert answer.has_terminator
    assert b'"finish_reason":"length"' in answer.data
    assert b"tollway-stop=insufficient_credits" in answer.pieces[-1].data
    fact = await bench.fact(answer)
    assert (fact.usage.tokens_output or 0) <= 1000
    assert (fact.usage.tokens_output or 0) > 500
    assert answer.end.cost_nusd == charge_nusd(fact.usage, PRICE, is_managed=True)
    await until(lambda: len(bench.simulator.tally))
    assert bench.simulator.tally.entries()[-1].outcome == "cancelled_by_client"


async def test_a_model_that_thinks_unseen_has_its_hold_extended_before_it_begins(bench: Bench) -> None:
    purse = Purse(bench, grants=1)
    await purse.open()
    work = bench.work(candidate("think"), is_stream=True, tokens_output_cap=100, tokens_output_wanted=8000)
    answer = await bench.ask(work)
    assert answer.end.outcome == "complete"
    assert len(purse.asked) == 1


async def test_work_of_an_ingress_that_is_not_heard_any_more_ends_as_the_gateways_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollway.adapter.handlers.INGRESS_SILENT_S", 0.5)
    answer = await bench.send(bench.work(candidate("fail-timeout")))
    assert (await bench.fact(answer)).outcome == "gateway_failed"
    assert bench.adapter.upstream.connections == 0


async def test_a_lost_link_ends_a_running_stream_as_the_gateways_fault(bench: Bench) -> None:
    answer = await bench.send(bench.work(candidate("echo;chunks=200;delay=20"), is_stream=True))
    await answer.begun.wait()
    bench.adapter.bus.is_connected = False  # type: ignore[misc]
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.attempts[0].completion) == ("gateway_failed", "unknown")


async def test_stopping_lets_running_answers_finish(bench: Bench) -> None:
    answer = await bench.send(bench.work(candidate("echo;chunks=10;delay=30"), is_stream=True))
    await answer.begun.wait()
    await bench.adapter.drain()
    await until(answer.ended.is_set)
    assert answer.end.outcome == "complete"
    late = await bench.send(bench.work(candidate("echo")))
    await asyncio.sleep(0.1)
    assert not late.pieces
