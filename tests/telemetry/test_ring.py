from tollway.telemetry.ring import GENERATIONS, MEMORY_NS, Ring, SpanTuple

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


def span(trace_id: str, at_ns: int, name: str = "hold") -> SpanTuple:
    return (name, f"00-{trace_id}-{'1' * 16}-00", "", None, at_ns - 10, at_ns, {}, None, "internal", (), ())


def trace(number: int) -> str:
    return f"{number:032x}"


def test_a_kept_trace_yields_its_spans_in_the_order_they_came_and_only_once() -> None:
    ring = Ring(1000)
    for name in ("auth", "plan", "hold"):
        assert ring.add(span(trace(1), NOW, name))
        assert ring.add(span(trace(2), NOW, name))
    assert [s[0] for s in ring.keep(trace(1), NOW)] == ["auth", "plan", "hold"]
    assert ring.keep(trace(1), NOW) == []


def test_spans_of_a_kept_trace_are_handed_back_for_a_minute() -> None:
    ring = Ring(1000)
    ring.keep(trace(1), NOW)
    assert not ring.add(span(trace(1), NOW + 59 * SECOND))
    assert ring.add(span(trace(1), NOW + 61 * SECOND))


def test_keeping_again_starts_the_minute_again() -> None:
    ring = Ring(1000)
    ring.keep(trace(1), NOW)
    ring.keep(trace(1), NOW + 50 * SECOND)
    assert not ring.add(span(trace(1), NOW + 100 * SECOND))


def test_what_is_older_than_a_minute_is_not_handed_out() -> None:
    ring = Ring(1000)
    ring.add(span(trace(1), NOW))
    ring.add(span(trace(1), NOW + 40 * SECOND, "late"))
    assert [s[0] for s in ring.keep(trace(1), NOW + MEMORY_NS + SECOND)] == ["late"]


def test_never_more_than_so_many_spans_are_remembered_and_the_youngest_survive() -> None:
    ring = Ring(800)
    for number in range(10_000):
        ring.add(span(trace(number), NOW))
    found = [number for number in range(10_000) if ring.keep(trace(number), NOW)]
    assert 800 - 800 // GENERATIONS <= len(found) <= 800
    assert found == list(range(10_000 - len(found), 10_000))


def test_a_trace_that_spans_generations_is_found_whole() -> None:
    ring = Ring(80)
    for number in range(40):
        ring.add(span(trace(7), NOW + number, f"{number}"))
        ring.add(span(trace(100 + number), NOW + number))
    assert [s[0] for s in ring.keep(trace(7), NOW)] == [f"{number}" for number in range(40)]


def test_the_list_of_kept_traces_is_bounded_too() -> None:
    ring = Ring(100)
    for number in range(5000):
        ring.keep(trace(number), NOW)
    assert ring.add(span(trace(0), NOW))
    assert not ring.add(span(trace(4999), NOW))


def test_a_span_comes_back_as_it_was_recorded() -> None:
    ring = Ring(1000)
    name, parent, *_ = span(trace(1), NOW)
    attributes = {"tollway.request_id": "rq_1", "share": 0.5, "tollway.is_stream": True}
    links, events = ["00-a-b-01"], [("skipped", NOW, {"tollway.provider": "openai"})]
    whole: SpanTuple = (name, parent, "1" * 16, "", NOW - 9, NOW, attributes, "timeout", "client", links, events)
    ring.add(whole)
    assert ring.keep(trace(1), NOW) == [whole]


def test_a_figure_that_no_span_can_carry_costs_the_span_and_nothing_else() -> None:
    ring = Ring(1000)
    ring.add((*span(trace(1), NOW)[:6], {"tollway.tokens_input": 2**70}, None, "internal", (), ()))
    ring.add(span(trace(1), NOW, "other"))
    assert [s[0] for s in ring.keep(trace(1), NOW)] == ["other"]
