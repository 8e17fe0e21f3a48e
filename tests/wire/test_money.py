"""Money: exact in, exact out, one rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire.money import NUSD_MAX, cents_floor, dollars, nusd_of_cents, nusd_of_dollars, per_million
from tollway.wire.plan import Price, PriceTier
from tollway.wire.pricing import SEARCH_TOKENS, charge_nusd, worst_case_nusd
from tollway.wire.usage import Usage

AMOUNTS = st.integers(-NUSD_MAX, NUSD_MAX)
TOKENS = st.integers(0, 2_000_000)
RATES = st.integers(0, 10**12)


@given(AMOUNTS)
def test_dollars_are_written_and_read_without_loss(nusd: int) -> None:
    assert nusd_of_dollars(dollars(nusd)) == nusd


@pytest.mark.parametrize("text", ["", "ten", "NaN", "inf", "0.0000000001", "1e30"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        nusd_of_dollars(text)


def test_dollars_have_no_trailing_zeros() -> None:
    assert [dollars(n) for n in (0, 10**10, 125_000, -1_500_000_000, 1)] == [
        "0",
        "10",
        "0.000125",
        "-1.5",
        "0.000000001",
    ]


def test_cents_round_down_so_that_nothing_is_promised_that_is_not_there() -> None:
    assert [cents_floor(n) for n in (nusd_of_cents(100), nusd_of_cents(100) - 1, -1)] == [100, 99, -1]


def test_a_charge_is_summed_first_and_rounded_up_once() -> None:
    assert per_million(1) == 1
    assert per_million(1_000_000) == 1
    assert per_million(1_000_001) == 2
    one_token_each = charge_nusd(Usage(1, 1), Price(input=1, output=1), is_managed=True)
    assert one_token_each == 101  # 100 of the fee and 2 millionths, rounded up once


def test_a_division_is_exact_where_a_float_would_not_be() -> None:
    assert per_million(9_007_199_254_740_993_000_001) == 9_007_199_254_740_994
    assert per_million(9_007_199_254_740_993_000_000) == 9_007_199_254_740_993


def test_the_fee_alone_is_charged_on_a_customers_own_key() -> None:
    assert charge_nusd(Usage(600_000, 400_000), Price(10**9, 10**9), is_managed=False) == 50_000_000


def test_cached_input_is_charged_at_its_own_price_and_only_once() -> None:
    price = Price(input=1_000_000, output=0, cache_read=100_000, cache_write=1_250_000)
    usage = Usage(tokens_input=1_000_000, tokens_output=0, tokens_cache_read=600_000, tokens_cache_write=200_000)
    model_part = 200_000 * 1_000_000 + 600_000 * 100_000 + 200_000 * 1_250_000
    assert charge_nusd(usage, price, is_managed=True) == model_part // 1_000_000 + 50_000_000


def test_what_is_cached_for_an_hour_is_charged_twice_the_input_price() -> None:
    price = Price(input=1_000_000, output=0, cache_read=100_000, cache_write=1_250_000)
    usage = Usage(1_000_000, 0, tokens_cache_write=500_000, tokens_cache_write_hour=400_000)
    model_part = 500_000 * 1_000_000 + 100_000 * 1_250_000 + 400_000 * 2_000_000
    assert charge_nusd(usage, price, is_managed=True) == model_part // 1_000_000 + 50_000_000
    more = Usage(1_000_000, 0, tokens_cache_write=100_000, tokens_cache_write_hour=400_000)
    most = 900_000 * 1_000_000 + 100_000 * 2_000_000
    assert charge_nusd(more, price, is_managed=True) == most // 1_000_000 + 50_000_000, "a part of what was written"


def test_the_hold_of_a_caching_request_covers_an_hours_cache() -> None:
    price = Price(input=1_000_000, output=0, cache_write=1_250_000)
    held = worst_case_nusd(price, is_managed=True, tokens_input=1_000_000, tokens_output=0, is_caching=True)
    usage = Usage(1_000_000, 0, tokens_cache_write=1_000_000, tokens_cache_write_hour=1_000_000)
    assert held == charge_nusd(usage, price, is_managed=True) == 2_000_000 + 50_000_000


def test_searches_are_charged_each_beside_the_tokens() -> None:
    price = Price(input=1_000_000, output=0, per_request=5, per_search=10_000_000)
    tokens_part = charge_nusd(Usage(1_000, 10), price, is_managed=True)
    assert charge_nusd(Usage(1_000, 10, searches=3), price, is_managed=True) == tokens_part + 3 * 10_000_000


def test_searches_cost_nothing_on_a_customers_own_key_or_without_a_price() -> None:
    fee = charge_nusd(Usage(1_000, 10), None, is_managed=False)
    assert charge_nusd(Usage(1_000, 10, searches=3), Price(0, 0, per_search=10**7), is_managed=False) == fee
    assert charge_nusd(Usage(1_000, 10, searches=3), Price(0, 0), is_managed=True) == fee


def test_the_hold_covers_the_searches_that_can_happen_and_what_they_put_into_the_input() -> None:
    price = Price(input=1_000_000, output=0, per_search=10_000_000)
    held = worst_case_nusd(price, is_managed=True, tokens_input=1_000, tokens_output=0, searches=3)
    usage = Usage(1_000 + 3 * SEARCH_TOKENS, 0, searches=3)
    assert held == charge_nusd(usage, price, is_managed=True)
    none = worst_case_nusd(price, is_managed=True, tokens_input=1_000, tokens_output=0)
    assert none == charge_nusd(Usage(1_000, 0), price, is_managed=True)


def test_on_a_customers_own_key_searches_are_not_held() -> None:
    price = Price(input=1_000_000, output=0, per_search=10_000_000)
    with_them = worst_case_nusd(price, is_managed=False, tokens_input=1_000, tokens_output=0, searches=3)
    assert with_them == worst_case_nusd(price, is_managed=False, tokens_input=1_000, tokens_output=0)


def test_a_long_input_is_charged_at_its_tier() -> None:
    price = Price(input=1_000_000, output=0, tiers=(PriceTier(above_tokens_input=200_000, input=2_000_000, output=0),))
    at, above = (charge_nusd(Usage(n, 0), price, is_managed=True) for n in (200_000, 200_001))
    assert (at, above) == (200_000 + 10_000_000, 400_002 + 10_000_050)


PRICES = st.builds(
    Price,
    input=RATES,
    output=RATES,
    cache_read=st.none() | RATES,
    reasoning=st.none() | RATES,
    audio_input=st.none() | RATES,
    audio_output=st.none() | RATES,
    per_request=RATES,
    per_search=st.none() | RATES,
    tiers=st.lists(
        st.builds(PriceTier, above_tokens_input=TOKENS, input=RATES, output=RATES), max_size=3
    ).map(tuple),
)  # fmt: skip


@given(price=PRICES, bound=TOKENS, output=TOKENS, data=st.data())
def test_no_charge_within_the_bounds_exceeds_the_worst_case(
    price: Price, bound: int, output: int, data: st.DataObject
) -> None:
    tokens_input = data.draw(st.integers(0, bound))
    tokens_output = data.draw(st.integers(0, output))
    searches = data.draw(st.integers(0, 20))
    usage = Usage(
        tokens_input=tokens_input,
        tokens_output=tokens_output,
        tokens_reasoning=data.draw(st.integers(0, tokens_output)),
        searches=data.draw(st.integers(0, searches)),
    )
    worst = worst_case_nusd(price, is_managed=True, tokens_input=bound, tokens_output=output, searches=searches)
    assert charge_nusd(usage, price, is_managed=True) <= worst
