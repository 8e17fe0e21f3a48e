"""What the simulator says and what it counts, without any wire format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.simulator.answer import REASONING, Answer, calls_in, compose, tokens_after
from tollway.simulator.ask import Ask, size_bytes, tokens
from tollway.simulator.options import Options

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def said(ask: Ask, options: Options | None = None, *, is_thinking: bool = False, is_runaway: bool = False) -> Answer:
    return compose(ask, options or Options(), is_thinking=is_thinking, is_runaway=is_runaway)


@given(TEXTS, st.booleans(), st.none() | st.integers(1, 50))
def test_pieces_are_the_text_cut(text: str, stream: bool, chunks: int | None) -> None:
    part = said(Ask(model="echo", text=text, stream=stream), Options(chunks=chunks)).parts[0]
    assert "".join(part.pieces) == (part.text if stream else "")
    assert "" not in part.pieces


@given(TEXTS, st.integers(1, 60))
def test_a_limit_is_kept_and_told(text: str, limit: int) -> None:
    answer = said(Ask(model="echo", text=text, tokens_output_max=limit))
    assert answer.tokens_output <= limit
    assert text.startswith("".join(part.text for part in answer.parts))
    assert answer.finish == ("length" if tokens(size_bytes(text)) > limit else "stop")


@given(st.integers(1, 40))
def test_so_many_chunks_are_made_as_are_asked(chunks: int) -> None:
    answer = said(Ask(model="echo", text="one two three", stream=True), Options(chunks=chunks))
    assert len(answer.parts[0].pieces) == chunks


@given(TEXTS, st.integers(0, 300))
def test_the_size_is_exact_in_bytes(text: str, size: int) -> None:
    answer = said(Ask(model="echo", text=text), Options(size_bytes=size))
    assert size_bytes(answer.parts[0].text) == size


def test_a_runaway_ignores_every_limit() -> None:
    ask = Ask(model="runaway", text="word", tokens_output_max=5)
    assert said(ask, Options(size_bytes=100_000), is_runaway=True).tokens_output == 25_000
    assert said(ask, Options(size_bytes=100_000)).tokens_output == 5


def test_nothing_honest_exceeds_the_output_limit_of_the_price_list() -> None:
    answer = said(Ask(model="echo", text="word"), Options(size_bytes=1_000_000))
    assert (answer.tokens_output, answer.finish) == (16_384, "length")


def test_claimed_tokens_replace_the_count_but_not_the_limit() -> None:
    options = Options(tokens_input=100, tokens_output=50, tokens_cache_read=40, tokens_reasoning=30)
    answer = said(Ask(model="echo", text="hi"), options)
    assert answer.usage
    assert (answer.usage.input, answer.usage.output, answer.usage.total) == (100, 50, 150)
    assert (answer.usage.cache_read, answer.usage.reasoning) == (40, 30)
    limited = said(Ask(model="echo", text="hi", tokens_output_max=20), options)
    assert (limited.tokens_output, limited.finish) == (20, "length")


def test_thoughts_come_first_and_are_counted() -> None:
    answer = said(Ask(model="think", text="hi"), is_thinking=True)
    assert [(part.kind, part.text) for part in answer.parts] == [("reasoning", REASONING), ("text", "hi")]
    assert (answer.tokens_reasoning, answer.tokens_output) == (tokens(len(REASONING)), tokens(len(REASONING)) + 1)


def test_it_stops_before_a_stop_sequence() -> None:
    answer = said(Ask(model="echo", text="one two STOP three", stops=("three", "STOP")))
    assert (answer.parts[0].text, answer.stop, answer.finish) == ("one two ", "STOP", "stop")


def test_a_result_is_echoed_instead_of_calling_again() -> None:
    ask = Ask(model="echo", text="call:add()", tools=("add",), results=("42",))
    assert said(ask).parts[0].text == "The tool answered: 42"


def test_a_result_that_spells_a_call_leads_to_the_next() -> None:
    ask = Ask(model="echo", text="call:add()", tools=("add", "sub"), results=("42", "then call:sub()"))
    assert [(part.kind, part.name) for part in said(ask).parts] == [("call", "sub")]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("call:add()", [("add", "{}")]),
        ('please call:add({"a": "x)", "b": [1, 2]}) now', [("add", '{"a": "x)", "b": [1, 2]}')]),
        ('call:add({"a":1}) and call:sub({"b":2})', [("add", '{"a":1}'), ("sub", '{"b":2}')]),
        ("call:unknown({})", []),
        ("call:add({)", []),
        ("nothing to call", []),
    ],
)
def test_calls_are_spelled_in_the_text(text: str, calls: list[tuple[str, str]]) -> None:
    ask = Ask(model="echo", text=text, tools=("add", "sub"))
    assert [(part.name, part.text) for part in calls_in(ask)] == calls


@given(st.integers(0, 400), st.integers(1, 3))
def test_a_cut_answer_costs_its_share_and_the_whole_costs_all(sent: int, choices: int) -> None:
    answer = said(Ask(model="echo", text="x" * 400, choices=choices))
    assert tokens_after(answer, choices, sent) == tokens(sent)
    assert tokens_after(answer, choices, 400 * choices) == answer.tokens_output == 100 * choices
