"""How many holds are opened ahead, and when: only for who asks often, only where credit is plenty."""

from tollway.ingress.domain import rounded_up
from tollway.ingress.stock import IDLE_S, KEEP_S, RATE_MIN, Held, Stock

FAR_MS = 10**6


def asked(stock: Stock, *, every_s: float, count: int, start_s: float = 0.0) -> float:
    """Requests that follow each other evenly; the time of the last."""
    for n in range(count):
        stock.take(0, start_s + n * every_s)
    return start_s + (count - 1) * every_s


def filled(stock: Stock, *names: str, at_s: float = 0.0, deadline_ms: int = FAR_MS) -> Stock:
    stock.holds.extend(Held(name, deadline_ms, at_s) for name in names)
    return stock


def test_requests_that_come_slowly_get_none() -> None:
    stock = Stock(0.0)
    asked(stock, every_s=0.1 / (RATE_MIN - 1), count=20)
    assert stock.missing() == 0


def test_requests_that_come_quickly_get_as_many_as_come_in_a_tenth_of_a_second() -> None:
    stock = Stock(0.0)
    asked(stock, every_s=0.01, count=21)
    assert stock.missing() == stock.wanted == 10


def test_there_is_a_limit_to_how_many() -> None:
    stock = Stock(0.0, holds_max=16)
    asked(stock, every_s=0.001, count=400)
    assert stock.missing() == 16


def test_a_pause_ends_it() -> None:
    stock = Stock(0.0)
    last_s = asked(stock, every_s=0.01, count=21)
    stock.take(0, last_s + 3)
    assert stock.missing() == 0


def test_more_are_wanted_only_when_half_are_used_and_none_are_on_their_way() -> None:
    stock = filled(Stock(0.0), *"abcdef")
    asked(stock, every_s=0.01, count=21)
    assert (stock.wanted, len(stock.holds), stock.missing()) == (10, 0, 10)
    filled(stock, *"abcdef")
    assert stock.missing() == 0
    stock.holds.popleft()
    assert stock.missing() == 5
    stock.is_ordered = True
    assert stock.missing() == 0


def test_holds_are_taken_oldest_first_and_only_if_they_last_long_enough() -> None:
    stock = filled(Stock(0.0), "first", "second", deadline_ms=500)
    assert stock.take(501, 0.1) is None
    assert [stock.take(500, 0.1), stock.take(500, 0.1), stock.take(500, 0.1)] == ["first", "second", None]


def test_an_old_hold_is_not_taken_but_given_back() -> None:
    stock = filled(Stock(0.0), "old")
    filled(stock, "young", at_s=KEEP_S)
    now_s = KEEP_S + 0.1
    assert stock.take(0, now_s) is None
    assert stock.stale(now_s) == ["old"]
    assert stock.take(0, now_s) == "young"


def test_when_nobody_asks_any_more_all_are_given_back() -> None:
    stock = filled(Stock(0.0), "a", "b", at_s=IDLE_S)
    assert stock.stale(IDLE_S) == []
    assert stock.stale(IDLE_S + 0.1) == ["a", "b"]


def test_amounts_are_rounded_up_by_less_than_a_quarter() -> None:
    for amount in (0, 1, 7, 8, 9, 1023, 123_456_789, 10**15 + 1):
        rounded = rounded_up(amount)
        assert amount <= rounded < amount * 1.25 + 1
        assert rounded_up(rounded) == rounded
