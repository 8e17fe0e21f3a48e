"""A candidate to which a request cannot be carried is no attempt, and the books say why."""

from tests.adapter.conftest import Bench, candidate
from tollway.wire.plan import Skipped

NOT_FOUND = Skipped("", "models[0]", "", "model_unknown")


async def test_what_router_and_adapter_skipped_is_in_the_fact(bench: Bench) -> None:
    work = bench.work(
        candidate("slow", dialect="openai_embeddings"), candidate("echo"), strategy="cheapest", skipped=(NOT_FOUND,)
    )
    answer = await bench.ask(work)
    assert (answer.text, answer.end.attempts) == ("hello there", 1)
    fact = await bench.fact(answer)
    assert fact.strategy == "cheapest"
    assert fact.skipped == (NOT_FOUND, Skipped("simulator", "slow", "managed:simulator", "unsupported_parameter"))
    assert [row.model for row in fact.attempts] == ["echo"]
