import pytest

from tollway.telemetry import traceparent
from tollway.telemetry.sampling import Sampler, read_sampler
from tollway.telemetry.traceparent import Parent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f" 00-{TRACE}-{SPAN}-01 ", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_a_valid_traceparent_is_continued(text: str, is_sampled: bool) -> None:
    assert traceparent.parse(text) == Parent(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-extra",
        f"00-{TRACE}-{SPAN}-1",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"cc-{TRACE}-{SPAN}-01.extra",
        f"00-{TRACE}-{SPAN}-01\x00",
    ],
)
def test_anything_else_is_as_if_it_had_not_come(text: str) -> None:
    assert traceparent.parse(text) is None


def test_a_child_keeps_trace_and_decision_and_names_its_own_span() -> None:
    for is_sampled in (True, False):
        trace = traceparent.make(trace_id=TRACE, span_id=SPAN, is_sampled=is_sampled)
        below = traceparent.child(trace, "1" * 16)
        assert traceparent.trace_id_of(below) == TRACE
        assert traceparent.span_id_of(below) == "1" * 16
        assert traceparent.is_sampled(below) is is_sampled


def test_a_child_of_nothing_is_nothing() -> None:
    assert traceparent.child("", SPAN) == ""


def test_the_ratio_decides_by_the_trace_id_alone() -> None:
    low, high = "f" * 16 + "0" * 16, "0" * 16 + "f" * 16
    assert traceparent.is_chosen(low, 0.01)
    assert not traceparent.is_chosen(low, 0.0)
    assert not traceparent.is_chosen(high, 0.99)
    assert traceparent.is_chosen(high, 1.0)
    half = [f"{'a' * 16}{n << 56:016x}" for n in range(256)]
    assert sum(traceparent.is_chosen(trace_id, 0.5) for trace_id in half) == 128


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Sampler(0.01, True)),
        ({"TOLLWAY_TRACE_SAMPLE": "1"}, Sampler(1.0, True)),
        ({"TOLLWAY_TRACE_SAMPLE": "0.25", "OTEL_TRACES_SAMPLER": "always_off"}, Sampler(0.25, True)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, Sampler(1.0, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, Sampler(1.0, True)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, Sampler(0.0, False)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, Sampler(0.5, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, Sampler(1.0, True)),
    ],
)
def test_sampling_follows_our_variable_then_the_standard_ones(environ: dict[str, str], expected: Sampler) -> None:
    assert read_sampler(environ) == expected


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"TOLLWAY_TRACE_SAMPLE": "2"}, "TOLLWAY_TRACE_SAMPLE"),
        ({"TOLLWAY_TRACE_SAMPLE": "nan"}, "TOLLWAY_TRACE_SAMPLE"),
        ({"TOLLWAY_TRACE_SAMPLE": "all"}, "TOLLWAY_TRACE_SAMPLE"),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "-1"}, "OTEL_TRACES_SAMPLER_ARG"),
        ({"OTEL_TRACES_SAMPLER": "xray"}, "OTEL_TRACES_SAMPLER"),
    ],
)
def test_a_ratio_that_is_none_is_refused_by_the_variables_name(environ: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_sampler(environ)


def test_a_callers_decision_is_followed_only_where_the_sampler_says_so() -> None:
    caller = Parent(TRACE, SPAN, True)
    assert Sampler(0.0, is_parent_based=True).is_sampled(TRACE, caller)
    assert not Sampler(0.0, is_parent_based=False).is_sampled(TRACE, caller)
