"""An adapter with too much under way says so at once, and takes nothing up."""

from pathlib import Path

from tests.adapter.conftest import candidate, close_bench, open_bench, until
from tollway.wire.refusals import Refusal


async def test_work_beyond_the_limit_is_turned_away_without_a_fact(tmp_path: Path) -> None:
    bench = await open_bench(tmp_path, {"TOLLWAY_REQUESTS_MAX": "2"})
    try:
        running = [await bench.send(bench.work(candidate("slow;delay=60000"), is_stream=True)) for _ in range(2)]
        await until(lambda: bench.adapter.in_flight == 2)
        turned = await bench.ask(bench.work(candidate("echo")))
        assert turned.end.is_shed
        refusal = turned.end.refusal
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.retry_after_s) == ("gateway_unavailable", 1)
        bench.cancel(running[0])
        await running[0].ended.wait()
        await until(lambda: bench.adapter.in_flight == 1)
        served = await bench.ask(bench.work(candidate("echo")))
        assert served.text == "hello there"
        await bench.fact(served)
        assert turned.request_id not in bench.facts
        bench.cancel(running[1])
        await running[1].ended.wait()
    finally:
        await close_bench(bench)
