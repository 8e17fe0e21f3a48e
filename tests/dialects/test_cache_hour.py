"""What Anthropic keeps in its cache for an hour is counted apart from what it keeps for five minutes: it costs more."""

import msgspec

from tollway.dialects.anthropic_messages.answer import read_usage
from tollway.wire.usage import Usage

START = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 90,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 70},
    "output_tokens": 1,
}


def read(usage: dict[str, object], before: Usage | None = None) -> Usage:
    found, notes = read_usage(msgspec.Raw(msgspec.json.encode(usage)), before)
    assert found is not None
    assert notes == ()
    return found


def test_an_hours_cache_is_a_part_of_what_was_written() -> None:
    usage = read(START)
    assert (usage.tokens_input, usage.tokens_cache_write, usage.tokens_cache_write_hour) == (100, 90, 70)


def test_the_end_of_a_stream_keeps_what_only_its_start_told() -> None:
    end = {"input_tokens": 10, "cache_creation_input_tokens": 90, "cache_read_input_tokens": 0, "output_tokens": 50}
    for last in (end, {"output_tokens": 50}):
        usage = read(last, read(START))
        assert (usage.tokens_cache_write_hour, usage.tokens_output) == (70, 50)


def test_a_provider_that_tells_no_hours_is_not_taken_for_one_that_keeps_none() -> None:
    usage = read({"input_tokens": 10, "cache_creation_input_tokens": 90, "output_tokens": 1})
    assert usage.tokens_cache_write_hour is None
