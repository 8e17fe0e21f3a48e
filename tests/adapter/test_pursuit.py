"""The life of a piece of work, against the simulator on real sockets."""

import msgspec

from tests.adapter.conftest import PRICE, Bench, candidate
from tollway.wire.pricing import charge_nusd


async def test_an_answer_is_one_piece_with_head_data_and_end(bench: Bench) -> None:
    answer = await bench.ask(bench.work(candidate("echo")))
    assert answer.text == "hello there"
    assert len(answer.pieces) == 1
    assert answer.head is not None
    assert (answer.head.status, answer.head.model) == (200, "simulator:echo")
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.certainty) == ("complete", "reported")
    assert answer.end.cost_nusd == charge_nusd(fact.usage, PRICE, is_managed=True) > 0
    tally = bench.simulator.tally.entries()[-1]
    assert (fact.usage.tokens_input, fact.usage.tokens_output) == (tally.tokens_input, tally.tokens_output)


async def test_a_stream_comes_in_pieces_and_ends_with_its_receipt_and_terminator(bench: Bench) -> None:
    answer = await bench.ask(bench.work(candidate("echo;chunks=5;delay=20"), is_stream=True, message="one two three"))
    assert answer.text == "one two three one two "  # five chunks of four bytes and a word's end
    assert len(answer.pieces) >= 5
    assert answer.has_terminator
    last = answer.pieces[-1].data
    assert last.index(b": tollway-request-id=") < last.index(b"data: [DONE]")
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.certainty, fact.attempts[0].is_served) == ("complete", "reported", True)


async def test_a_provider_that_fails_is_failed_over_and_both_attempts_are_written_down(bench: Bench) -> None:
    answer = await bench.ask(bench.work(candidate("fail-503"), candidate("echo")))
    assert answer.text == "hello there"
    assert (answer.end.attempts, answer.end.is_failed_over, answer.end.model) == (2, True, "simulator:echo")
    rows = (await bench.fact(answer)).attempts
    assert [(row.model, row.retry_action, row.completion, row.is_served) for row in rows] == [
        ("fail-503", "next_backend", "failed", False),
        ("echo", "succeeded", "succeeded", True),
    ]


async def test_a_single_candidates_own_error_passes_through_with_its_status(bench: Bench) -> None:
    answer = await bench.ask(bench.work(candidate("fail-429")))
    assert answer.head is not None
    assert answer.head.status == 429
    assert "error" in msgspec.json.decode(answer.data)
    fact = await bench.fact(answer)
    assert (fact.outcome, answer.end.cost_nusd) == ("failed_before_content", 0)
