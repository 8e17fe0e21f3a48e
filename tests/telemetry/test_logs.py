import asyncio
import io
import json
import logging
from typing import Any

import pytest

from tollway.telemetry.logs import LINE_MAX, LibraryHandler, Logs, UndeclaredNameError
from tollway.telemetry.names import LOG_FIELDS
from tollway.telemetry.scrub import scrub

ACCESS_KEY = "tw-9fK2xQ7LmZ0a-g1-5uRabcdefghijklmnopqrstuvwxyzABYb3fQ8"


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logs(stream: io.StringIO, **options: Any) -> Logs:
    return Logs(service="ingress", node="ingress-1", stream=stream, **options)


def test_a_line_is_one_json_object_that_says_when_who_and_what() -> None:
    stream = io.StringIO()
    logs(stream).log("info", "request", {"request_id": "rq_1", "status": 200, "is_stream": False, "ttft_ms": None})
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "event": "request",
        "service": "ingress",
        "node": "ingress-1",
        "request_id": "rq_1",
        "status": 200,
        "is_stream": False,
        "ttft_ms": None,
    }


def test_a_field_that_is_not_declared_is_left_out_and_counted() -> None:
    stream, dropped = io.StringIO(), list[str]()
    logs(stream, on_dropped=dropped.append).log("info", "request", {"status": 200, "body": "what the caller wrote"})
    assert "body" not in lines(stream)[0]
    assert "what the caller wrote" not in stream.getvalue()
    assert dropped == ["log_field"]


def test_where_names_are_strict_it_raises() -> None:
    with pytest.raises(UndeclaredNameError, match="prompt"):
        logs(io.StringIO(), is_strict=True).log("info", "request", {"prompt": "secret"})


def test_levels_below_the_least_are_not_written() -> None:
    stream = io.StringIO()
    chatty = logs(stream, level="warning")
    chatty.log("info", "request", {})
    chatty.log("warning", "slow", {})
    assert [line["event"] for line in lines(stream)] == ["slow"]


async def test_lines_wait_for_company_but_an_error_takes_all_of_them_along() -> None:
    stream = io.StringIO()
    ours = logs(stream)
    ours.log("info", "one", {})
    ours.log("info", "two", {})
    assert stream.getvalue() == ""
    ours.log("error", "three", {})
    assert [line["event"] for line in lines(stream)] == ["one", "two", "three"]


async def test_lines_that_wait_are_written_soon() -> None:
    stream = io.StringIO()
    logs(stream).log("info", "one", {})
    for _ in range(100):
        await asyncio.sleep(0.02)
        if stream.getvalue():
            break
    assert [line["event"] for line in lines(stream)] == ["one"]


def test_an_exception_shows_its_kind_and_place_but_not_what_it_quotes() -> None:
    stream = io.StringIO()
    try:
        raise ValueError("cannot parse: the caller's words")
    except ValueError as error:
        logs(stream).log("error", "crashed", {"error": error})
    (line,) = lines(stream)
    assert line["error"] == "ValueError"
    assert "test_logs.py" in line["at"]
    assert "words" not in stream.getvalue()


def test_a_line_cannot_grow_without_bound() -> None:
    stream = io.StringIO()
    logs(stream).log("info", "request", {"model_asked": "m" * 100_000, "not_ready": ["x" * 1000] * 100})
    assert len(stream.getvalue()) < LINE_MAX
    assert lines(stream)[0]["model_asked"].startswith("mmm")


def test_a_reader_that_is_gone_stops_nothing() -> None:
    stream = io.StringIO()
    ours = logs(stream)
    stream.close()
    ours.log("error", "shouted_into_the_void", {})


@pytest.mark.parametrize(
    ("text", "is_changed"),
    [
        (f"key {ACCESS_KEY} refused", True),
        ("twapi-9fK2xQ7LmZ0a-g1-5uRabcdefghijklmnop", True),
        ("sk-proj-abcdefghijklmnop", True),
        ("sk-ant-api03-AAAAAAAAAAAA", True),
        ("gsk_abcdefghijklmnop", True),
        ("sk_live_abcdefghijklmnop", True),
        ("xai-abcdefghijklmnop", True),
        ("AIzaSyA-abcdefghijklmnopqrstuvwxyz", True),
        ("Authorization: Bearer abcdef.ghijkl", True),
        ("postgresql://user:hunter2@db/tollway", True),
        ("https://provider.example/v1?key=abcdef", True),
        ("request_id rq_01JD3M4N5P6Q7R8S9T0V1W2X3Y", False),
        ("https://provider.example/v1/chat", False),
        ("between two networks, aigpk_01JD3M4N5P6Q7R8S9T0V", False),
    ],
)
def test_what_looks_like_a_secret_is_scrubbed_and_nothing_else(text: str, is_changed: bool) -> None:
    clean = scrub(text)
    assert (clean != text) is is_changed
    for secret in ("5uR", "abcdef", "AAAA", "hunter2"):
        assert secret not in clean


def test_secrets_in_any_field_do_not_reach_the_line() -> None:
    stream = io.StringIO()
    logs(stream).log("warning", "odd", dict.fromkeys((n for n in LOG_FIELDS if n != "level"), f"x {ACCESS_KEY}"))
    assert "5uRabc" not in stream.getvalue()


def test_libraries_say_their_sentence_but_not_what_they_filled_in() -> None:
    stream = io.StringIO()
    library = logging.Logger("some.library")
    library.addHandler(LibraryHandler(logs(stream)))
    library.info("not worth a line")
    library.warning("could not parse %r", "the caller's words")
    library.warning("could not parse %r", "more words")
    try:
        raise RuntimeError("words again")
    except RuntimeError:
        library.exception("failed")
    said = lines(stream)
    assert [(line["level"], line["event"], line["message"]) for line in said] == [
        ("warning", "library", "could not parse %r"),
        ("error", "library", "failed"),
    ]
    assert said[1]["error"] == "RuntimeError"
    assert "words" not in stream.getvalue()
