"""Every surface through the adapter, also where client and provider speak differently."""

import json
from typing import Any

import pytest

from tests.adapter.conftest import Bench, candidate, until
from tollway.wire.plan import DialectName

ASKED: dict[tuple[DialectName, str], dict[str, Any]] = {
    ("openai_chat", "chat"): {"messages": [{"role": "user", "content": "one two three"}]},
    ("openai_responses", "responses"): {"input": "one two three"},
    ("openai_completions", "completions"): {"prompt": "one two three"},
    ("anthropic_messages", "messages"): {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 100},
}
CHAT: tuple[DialectName, ...] = ("openai_chat", "openai_responses", "anthropic_messages", "gemini")
PAIRS = [(client, surface, provider) for client, surface in ASKED for provider in CHAT if surface != "completions"]
BASES = {"gemini": "/v1beta"}


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(
    ("client", "surface", "provider"), [*PAIRS, ("openai_completions", "completions", "openai_completions")]
)
async def test_usage_is_what_the_provider_counted(
    bench: Bench, client: DialectName, surface: str, provider: DialectName, is_stream: bool
) -> None:
    body = {"model": "x", "stream": is_stream, **ASKED[client, surface]}
    address = bench.simulator.base_url + BASES.get(provider, "/v1")
    there = candidate(
        "echo",
        dialect=provider,
        provider="mine",
        credential_id="",
        is_managed=False,
        base_url=address,
        is_private_address_allowed=True,
    )
    work = bench.work(there, is_stream=is_stream, dialect=client, surface=surface, body=json.dumps(body).encode())
    answer = await bench.ask(work)
    assert answer.end.outcome == "complete", answer.end
    assert b"one two three" in answer.data or is_stream
    fact = await bench.fact(answer)
    await until(lambda: len(bench.simulator.tally))
    entry = bench.simulator.tally.entries()[-1]
    assert (fact.usage.tokens_input, fact.usage.tokens_output) == (entry.tokens_input, entry.tokens_output)
    assert fact.certainty == "reported"
    assert fact.is_managed is False


async def test_an_embedding_is_billed_for_its_input_alone(bench: Bench) -> None:
    work = bench.work(
        candidate("embed", dialect="openai_embeddings"),
        dialect="openai_embeddings",
        surface="embeddings",
        body=json.dumps({"model": "x", "input": ["one two", "three"]}).encode(),
        tokens_output_cap=0,
        tokens_output_wanted=0,
    )
    answer = await bench.ask(work)
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.certainty) == ("complete", "reported")
    assert (fact.usage.tokens_input, fact.usage.tokens_output or 0) == (4, 0)
    assert len(json.loads(answer.data)["data"]) == 2
