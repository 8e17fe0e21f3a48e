"""The splitter gives the same frames however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.dialects.sse import LINE_BYTES_MAX, Frame, Overlong, Splitter


def frames(*chunks: bytes) -> list[Frame]:
    splitter = Splitter()
    return [*(frame for chunk in chunks for frame in splitter.feed(chunk)), *splitter.close()]


def told(found: list[Frame]) -> list[tuple[bytes, bytes | None]]:
    return [(frame.event, frame.data) for frame in found if frame.data is not None]


def test_an_event_is_its_data() -> None:
    assert told(frames(b"data: hello\n\n")) == [(b"", b"hello")]


def test_original_bytes_are_kept_for_forwarding() -> None:
    data = b": keep-alive\n\nevent: x\ndata: 1\nid: 7\n\ndata: 2\n\n"
    assert b"".join(frame.raw for frame in frames(data)) == data


def test_several_data_lines_are_joined_by_newlines() -> None:
    assert told(frames(b"data: a\ndata: b\n\n")) == [(b"", b"a\nb")]


def test_a_space_after_the_colon_is_optional() -> None:
    assert told(frames(b"data:a\n\nevent:x\ndata:  b\n\n")) == [(b"", b"a"), (b"x", b" b")]


def test_a_comment_has_no_data_and_is_not_foreign() -> None:
    (comment,) = frames(b": ping\n\n")
    assert comment.data is None
    assert not comment.is_foreign


PAGES = [b"<html><body>502</body></html>", b'{"error": {"message": "no"}}', b"Bad gateway\n\n: really"]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_no_event_stream_is_foreign(page: bytes) -> None:
    found = frames(page)[0]
    assert found.is_foreign
    assert page.startswith(found.raw.strip())


def test_half_a_line_at_the_end_is_nothing() -> None:
    assert frames(b"data: a\n\nevent: messa") == frames(b"data: a\n\n")


def test_a_byte_order_mark_is_skipped_even_when_split() -> None:
    data = b"\xef\xbb\xbfdata: a\n\n"
    assert told(frames(*(bytes([byte]) for byte in data))) == [(b"", b"a")]


def test_a_missing_last_blank_line_is_forgiven() -> None:
    assert told(frames(b"data: a\n\ndata: [DONE]")) == [(b"", b"a"), (b"", b"[DONE]")]


def test_a_carriage_return_at_the_end_of_a_chunk_does_not_make_an_empty_event() -> None:
    assert told(frames(b"data: a\r\n\r", b"\ndata: b\r\n\r\n")) == [(b"", b"a"), (b"", b"b")]


@pytest.mark.parametrize(
    ("data", "raw"),
    [
        (b"event: e\r\ndata: a\r\n\r\n", b"event: e\r\ndata: a\r\n\r\n"),
        (b"event: e\rdata: a\r\r", b"event: e\ndata: a\n\n"),
        (b"event: e\ndata: a\n\r\n", b"event: e\ndata: a\n\n"),
        (b"event: e\r\ndata: a\r\r\n", b"event: e\ndata: a\n\n"),
    ],
)
def test_line_ends_that_not_every_client_reads_are_passed_on_as_line_feeds(data: bytes, raw: bytes) -> None:
    assert [frame.raw for frame in frames(data, b"data: b\n\n")] == [raw, b"data: b\n\n"]


def test_a_line_above_the_limit_is_refused() -> None:
    chunks = [b"x" * 65536] * (LINE_BYTES_MAX // 65536 + 2)
    with pytest.raises(Overlong):
        frames(*chunks)


def test_a_line_just_below_the_limit_is_accepted() -> None:
    data = b"data: " + b"x" * (LINE_BYTES_MAX - 100)
    assert told(frames(data[:9999], data[9999:], b"\n\n")) == [(b"", data[6:])]


line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(texts, min_size=1, max_size=5), st.lists(line_ends, min_size=10, max_size=10), st.integers(1, 40))
def test_any_line_ends_and_any_cuts_give_the_same_events(said: list[str], ends: list[bytes], size: int) -> None:
    data = b""
    for number, text in enumerate(said):
        data += b"data: " + text.encode() + ends[2 * number] + ends[2 * number + 1]
        # CR then LF would be one line end: keep the two apart
        if ends[2 * number] == b"\r" and ends[2 * number + 1] == b"\n":
            data += b"\n"
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert told(frames(*pieces)) == [(b"", text.encode()) for text in said]
