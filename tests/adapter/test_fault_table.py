"""Every fault of the simulator, by (JSON, stream) and (alone, with a fallback): what the client gets, what the provider
saw, what is billed. `docs/failover.md` shows the same table, made here.

To write the table into the document again: `TOLLWAY_WRITE_DOCS=1 .venv/bin/pytest tests/adapter/test_fault_table.py`.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.adapter.conftest import HOLD_NUSD, PRICE, Answer, Bench, candidate, close_bench, open_bench, until
from tollway.simulator import BEHAVIOURS
from tollway.wire.pricing import charge_nusd, charged_of
from tollway.wire.usage import Outcome, UsageFact
from tollway.wire.work import Limits

DOCUMENT = Path(__file__).parents[2] / "docs" / "failover.md"
BEGIN, END = "<!-- fault table: made by tests/adapter/test_fault_table.py -->", "<!-- end of fault table -->"
PATIENT = Limits(attempt_s=20, first_token_s=20, chunk_gap_s=20, connect_s=5)
HASTY = Limits(attempt_s=0.4, first_token_s=0.4, chunk_gap_s=0.2, connect_s=5)
OPTIONS = {"fail-drip": ";delay=20", "fail-slow-headers": ";delay=30", "slow": ";delay=5"}


class Fate(NamedTuple):
    """What a fault leads to. `word`: served, filtered, moves, larger (only to a larger window), stays, broken."""

    word: str
    error_class: str = ""


SERVED, FILTERED = Fate("served"), Fate("filtered")


def moves(error_class: str) -> Fate:
    return Fate("moves", error_class)


def stays(error_class: str) -> Fate:
    return Fate("stays", error_class)


def larger(error_class: str) -> Fate:
    return Fate("larger", error_class)


def broken(error_class: str) -> Fate:
    return Fate("broken", error_class)


def both(fate: Fate) -> tuple[Fate, Fate]:
    return fate, fate


TABLE: dict[str, tuple[Fate, Fate]] = {
    "echo": both(SERVED),
    "slow": both(SERVED),
    "think": both(SERVED),
    "runaway": both(SERVED),
    "fail-400": both(stays("bad_request")),
    "fail-401": both(moves("bad_credential")),
    "fail-key": both(moves("bad_credential")),
    "fail-402": both(moves("quota")),
    "fail-403": both(moves("bad_credential")),
    "fail-404": both(moves("model_missing")),
    "fail-408": both(moves("retryable_conflict")),
    "fail-409": both(moves("retryable_conflict")),
    "fail-413": both(larger("too_large")),
    "fail-422": both(stays("bad_request")),
    "fail-context": both(larger("context_length")),
    "fail-content-policy": both(stays("content_policy")),
    "fail-429": both(moves("rate_limit")),
    "fail-429-retry-after": both(moves("rate_limit")),
    "fail-quota": both(moves("quota")),
    "fail-500": both(moves("server")),
    "fail-502": both(moves("server")),
    "fail-503": both(moves("overloaded")),
    "fail-504": both(moves("server")),
    "fail-529": both(moves("overloaded")),
    "fail-status": both(moves("server")),
    "fail-timeout": both(moves("timeout")),
    "fail-reset": both(moves("cut")),
    "fail-close": both(moves("cut")),
    "fail-cut": (moves("cut"), broken("cut")),
    "fail-cut-reset": (moves("cut"), broken("cut")),
    "fail-stall": (moves("timeout"), broken("timeout")),
    "fail-half-close": (moves("cut"), broken("cut")),
    "fail-garbage": (moves("malformed"), broken("malformed")),
    "fail-error-in-stream": (moves("server"), broken("server")),
    "fail-no-done": (moves("malformed"), broken("malformed")),
    "fail-html": both(moves("malformed")),
    "fail-empty": both(moves("malformed")),
    "fail-redirect": both(moves("server")),
    "fail-filter": both(FILTERED),
    "fail-no-usage": both(SERVED),
    "fail-usage-huge": both(SERVED),
    "fail-usage-negative": both(SERVED),
    "fail-usage-zero": both(SERVED),
    "fail-usage-nan": both(SERVED),
    "fail-usage-2e63": both(SERVED),
    "fail-usage-float": both(SERVED),
    "fail-usage-text": both(SERVED),
    "fail-usage-null": both(SERVED),
    "fail-drip": both(moves("timeout")),
    "fail-slow-headers": both(moves("timeout")),
    "fail-long-line": (moves("too_large"), moves("malformed")),
    "fail-utf8": (SERVED, moves("malformed")),
    "fail-crlf": both(SERVED),
    "fail-split": both(SERVED),
    "fail-gzip-bomb": both(moves("too_large")),
}

OUTCOMES: dict[str, Outcome] = {"served": "complete", "filtered": "content_filter", "broken": "failed_midstream"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    bench = await open_bench(tmp_path_factory.mktemp("table"))
    yield bench
    await close_bench(bench)


def test_the_table_has_every_fault_of_the_simulator() -> None:
    assert set(TABLE) == set(BEHAVIOURS) - {"embed"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("name", TABLE)
async def test_alone(shared: Bench, name: str, is_stream: bool) -> None:
    fate = TABLE[name][is_stream]
    answer, fact, seen = await _ask(shared, name, is_stream=is_stream, has_fallback=False)
    repeats = 2 if name == "fail-429-retry-after" else 1
    assert answer.end.outcome == fact.outcome == OUTCOMES.get(fate.word, "failed_before_content")
    assert len(fact.attempts) == answer.end.attempts == seen == repeats
    _check_words(fact, fate)
    _check_bill(shared, answer, fact)
    _check_no_truncated_success(answer, fact, is_stream=is_stream)
    if fact.outcome == "failed_before_content":
        assert (answer.head is None) != (answer.end.refusal is None), "the provider's own error, or a refusal"
        assert answer.head is None or answer.head.status >= 400


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("name", TABLE)
async def test_with_a_fallback(shared: Bench, name: str, is_stream: bool) -> None:
    fate = TABLE[name][is_stream]
    answer, fact, seen = await _ask(shared, name, is_stream=is_stream, has_fallback=True)
    has_moved = fate.word in ("moves", "larger")
    assert len(fact.attempts) == answer.end.attempts == seen == 1 + has_moved
    assert fact.outcome == ("complete" if has_moved else OUTCOMES.get(fate.word, "failed_before_content"))
    if has_moved:
        assert answer.text == "one two three four five"
        assert answer.end.model == "simulator:echo"
        assert fact.attempts[0].retry_action == "next_backend"
    assert [row.is_served for row in fact.attempts].count(True) == (fact.outcome != "failed_before_content")
    _check_bill(shared, answer, fact)
    _check_no_truncated_success(answer, fact, is_stream=is_stream)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_input_too_long_does_not_go_to_a_window_of_the_same_size(shared: Bench) -> None:
    work = shared.work(candidate("fail-context", tokens_window=8), candidate("echo", tokens_window=8))
    answer = await shared.ask(work)
    assert (answer.end.attempts, answer.end.outcome) == (1, "failed_before_content")
    assert answer.head is not None
    assert answer.head.status == 400


async def _ask(bench: Bench, name: str, *, is_stream: bool, has_fallback: bool) -> tuple[Answer, UsageFact, int]:
    first = candidate(name + OPTIONS.get(name, ""), tokens_window=8_000)
    second = (candidate("echo", tokens_window=128_000),) if has_fallback else ()
    before = len(bench.simulator.tally)
    limits = HASTY if TABLE[name][is_stream].error_class == "timeout" else PATIENT
    work = bench.work(first, *second, is_stream=is_stream, message="one two three four five", limits=limits)
    answer = await bench.ask(work)
    fact = await bench.fact(answer)
    await until(lambda: len(bench.simulator.tally) - before >= len(fact.attempts))
    return answer, fact, len(bench.simulator.tally) - before


def _check_words(fact: UsageFact, fate: Fate) -> None:
    row = fact.attempts[-1]
    assert (row.error_class or "") == fate.error_class
    succeeded = fate.word in ("served", "filtered")
    failed = "stream_failed" if fate.word == "broken" else "timed_out" if fate.error_class == "timeout" else "failed"
    assert row.completion == ("succeeded" if succeeded else failed)
    assert row.retry_action == ("succeeded" if succeeded else _action(fate))


def _action(fate: Fate) -> str:
    return "fail_fast" if fate.word in ("stays", "broken") else "exhausted"


def _check_bill(bench: Bench, answer: Answer, fact: UsageFact) -> None:
    """What ended well costs what the provider's own books say; a failure costs the account nothing."""
    if fact.outcome not in ("complete", "content_filter"):
        assert answer.end.cost_nusd == 0
        return
    entry = bench.simulator.tally.entries()[-1]
    cost_nusd = charge_nusd(fact.usage, PRICE, is_managed=True)
    assert answer.end.cost_nusd == charged_of(cost_nusd, HOLD_NUSD) > 0, "a runaway's is the operator's beyond the hold"
    if entry.outcome == "completed":
        assert (fact.usage.tokens_input, fact.usage.tokens_output) == (entry.tokens_input, entry.tokens_output)
    assert fact.certainty == ("reported" if entry.is_usage_told or entry.outcome != "completed" else "counted")


def _check_no_truncated_success(answer: Answer, fact: UsageFact, *, is_stream: bool) -> None:
    is_success = fact.outcome in ("complete", "content_filter")
    assert answer.has_terminator == (is_stream and is_success)
    assert is_success or answer.end.refusal is not None or (answer.head is not None and answer.head.status >= 400)


SAYS = {
    "served": "served",
    "filtered": "served, filtered",
    "moves": "moves on",
    "larger": "moves on to a larger window only",
    "stays": "its error is shown",
    "broken": "error event, no terminator",
}


def made_table() -> str:
    lines = [
        "| fault | JSON | stream | class | attempts alone / with fallback | billed alone |",
        "|---|---|---|---|---|---|",
    ]
    for name, (whole, stream) in TABLE.items():
        classes = " / ".join(dict.fromkeys(fate.error_class for fate in (whole, stream) if fate.error_class)) or "-"
        alone = 2 if name == "fail-429-retry-after" else 1
        counts = " / ".join(
            dict.fromkeys(f"{alone}, {1 + (fate.word in ('moves', 'larger'))}" for fate in (whole, stream))
        )
        bills = " / ".join(dict.fromkeys(_billed(name, fate) for fate in (whole, stream)))
        lines.append(f"| `{name}` | {SAYS[whole.word]} | {SAYS[stream.word]} | {classes} | {counts} | {bills} |")
    return "\n".join(lines)


def _billed(name: str, fate: Fate) -> str:
    if fate.word not in ("served", "filtered"):
        return "0"
    return "reported" if BEHAVIOURS[name].is_truthful else "counted"


def test_the_document_shows_this_table() -> None:
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("TOLLWAY_WRITE_DOCS"):
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{made_table()}\n\n{END}{after}")
    else:
        assert shown.strip() == made_table(), "docs/failover.md is out of date; see this module's docstring"
