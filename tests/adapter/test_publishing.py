"""Facts on their way: nothing is lost between the adapter's disk and the ledger's settlement."""

import asyncio
from pathlib import Path

import pytest

from tests.adapter.conftest import Bench, candidate, close_bench, open_bench, until
from tollway.adapter import publishing
from tollway.bus import BusError
from tollway.store.outbox import OutboxError


async def test_a_settled_fact_is_forgotten(bench: Bench) -> None:
    await bench.fact(await bench.ask(bench.work(candidate("echo"))))
    await until(lambda: bench.adapter.publisher.unsettled == 0)


async def test_a_fact_that_is_not_settled_is_put_again_until_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "AGAIN_S", 0.05)
    bench.is_settling = False
    answer = await bench.ask(bench.work(candidate("echo")))
    await until(lambda: len(bench.facts.get(answer.request_id, [])) >= 2)
    bench.is_settling = True
    await until(lambda: bench.adapter.publisher.unsettled == 0)


async def test_facts_wait_while_the_stream_does_not_take_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "AGAIN_S", 0.05)
    put, is_broken = bench.adapter.bus.put, True

    async def broken(*args: object, **more: object) -> object:
        if is_broken:
            raise BusError("no stream")
        return await put(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.adapter.bus, "put", broken)
    answers = [await bench.ask(bench.work(candidate("echo"))) for _ in range(3)]
    assert all(answer.end.outcome == "complete" for answer in answers), "the client does not wait for the stream"
    assert bench.adapter.publisher.unsettled == 3
    is_broken = False
    for answer in answers:
        await bench.fact(answer)
    await until(lambda: bench.adapter.publisher.unsettled == 0)


async def test_what_a_dead_adapter_left_is_published_by_the_next_one(tmp_path: Path) -> None:
    first = await open_bench(tmp_path)
    first.is_settling = False
    answer = await first.ask(first.work(candidate("echo")))
    await first.fact(answer)
    outbox_id = first.adapter.publisher.outbox.id
    await close_bench(first)
    second = await open_bench(tmp_path)
    fact = (await second.fact(answer)) if await _came(second, answer.request_id) else None
    assert fact is not None
    assert fact.outbox == outbox_id == second.adapter.publisher.outbox.id
    await until(lambda: second.adapter.publisher.unsettled == 0)
    await close_bench(second)


async def test_what_another_adapter_left_is_adopted_while_this_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "ORPHANS_S", 0.1)
    first, second = await open_bench(tmp_path), await open_bench(tmp_path)
    first.is_settling = False
    answer = await first.ask(first.work(candidate("echo")))
    await close_bench(first)
    assert await _came(second, answer.request_id)
    await until(lambda: second.adapter.publisher.unsettled == 0)
    await close_bench(second)


async def _came(bench: Bench, request_id: str) -> bool:
    await until(lambda: request_id in bench.facts)
    return True


async def test_an_answer_whose_fact_cannot_be_kept_is_not_released(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        bench.adapter.publisher.outbox.error = "the outbox cannot be written: No space left on device"
        raise OutboxError("full")

    monkeypatch.setattr(bench.adapter.publisher.outbox, "append", full)
    answer = await bench.ask(bench.work(candidate("echo")))
    assert (answer.end.outcome, answer.data) == ("gateway_failed", b"")
    assert answer.end.refusal is not None
    assert answer.end.refusal.code == "gateway_unavailable"
    assert answer.end.is_shed, "nobody but ingress can give the credit back now"
    assert bench.adapter.beat().is_ready is False
    assert "No space left" in bench.adapter.beat().not_ready[0]


async def test_facts_of_one_journal_travel_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    put, sizes = bench.adapter.bus.put, []

    async def slow(subject: str, body: object, **more: object) -> object:
        sizes.append(len(body.facts))  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        return await put(subject, body, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.adapter.bus, "put", slow)
    answers = await asyncio.gather(*(bench.ask(bench.work(candidate("echo"))) for _ in range(40)))
    for answer in answers:
        await bench.fact(answer)
    assert sum(sizes) == 40
    assert len(sizes) < 20
