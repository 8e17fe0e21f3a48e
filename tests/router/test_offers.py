"""What adapters offer, as their beats come and stop."""

from tollway.router.offers import SILENT_AFTER_MS, Heard, forget_silent, offers_of
from tollway.wire.work import Beat


def heard(node: str, pool: str, *managed: str, at_ms: int = 0) -> Heard:
    return Heard(Beat("adapter", node, at_ms, pool=pool, managed=managed), at_ms)


def test_nothing_is_known_before_the_first_beat() -> None:
    assert not offers_of([], now_ms=0).is_known


def test_the_offers_of_a_pool_are_those_of_all_its_adapters() -> None:
    offers = offers_of([heard("a", "default", "openai"), heard("b", "default", "groq")], now_ms=0)
    assert offers.pools == {"openai": "default", "groq": "default"}


def test_the_default_pool_is_preferred() -> None:
    offers = offers_of([heard("a", "default", "openai"), heard("b", "box", "openai", "ollama")], now_ms=0)
    assert offers.pools == {"openai": "default", "ollama": "box"}


def test_a_silent_adapter_counts_as_long_as_its_pool_has_no_other() -> None:
    late = SILENT_AFTER_MS + 1
    old, new = heard("a", "default", "openai"), heard("b", "default", "groq", at_ms=late)
    assert offers_of([old], now_ms=late).pools == {"openai": "default"}
    assert offers_of([old, new], now_ms=late).pools == {"groq": "default"}


def test_a_silent_adapter_is_forgotten_when_another_took_its_place() -> None:
    late = SILENT_AFTER_MS + 1
    notes = {"a": heard("a", "default"), "b": heard("b", "default", at_ms=late), "c": heard("c", "box")}
    assert set(forget_silent(notes, now_ms=late)) == {"b", "c"}
