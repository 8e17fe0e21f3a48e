"""What a model name and the `x-sim` headers ask for."""

import pytest

from tollway.simulator.options import OPTIONS, Options, Spec, Unreadable, read_model, with_headers


@pytest.mark.parametrize(
    "name",
    ["echo", "ECHO", "simulator:echo", "Simulator:Echo", "simulator/echo", " echo ", "echo;", "echo?"],
)
def test_names_ignore_case_and_an_optional_prefix(name: str) -> None:
    assert read_model(name) == Spec("echo", Options())


@pytest.mark.parametrize("name", ["echo;chunks=20;delay=50", "echo?chunks=20&delay=50", "echo; Chunks = 20 ; DELAY=50"])
def test_options_follow_a_semicolon_or_a_question_mark(name: str) -> None:
    assert read_model(name) == Spec("echo", Options(chunks=20, delay_ms=50))


@pytest.mark.parametrize(
    "headers",
    [
        {"x-sim": "chunks=20,delay=50"},
        {"x-sim-chunks": "20", "x-sim-delay": "50"},
        {"x-sim": "delay=50", "x-sim-chunks": "20"},
    ],
)
def test_headers_say_the_same_and_win_over_the_name(headers: dict[str, str]) -> None:
    assert with_headers(Spec("echo", Options(chunks=3, rate=0.5)), headers) == Spec(
        "echo", Options(chunks=20, delay_ms=50, rate=0.5)
    )


@pytest.mark.parametrize(
    "name",
    [
        "echo;chunks=0",
        "echo;chunks=x",
        "echo;rate=2",
        "echo;status=20",
        "echo;after=-2",
        "echo;size=-1",
        "echo;colour=red",
    ],
)
def test_what_cannot_be_read_is_named(name: str) -> None:
    read = read_model(name)
    assert isinstance(read, Unreadable)
    assert name.split(";")[1].split("=")[0] in read.reason


def test_every_option_sets_a_field_of_its_own() -> None:
    fields = [field for field, _ in OPTIONS.values()]
    assert sorted(fields) == sorted(Options.__struct_fields__)
