"""Prices of services: the hold covers whichever service answers, the charge is of the one that did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire.plan import Price, PriceTier, ServicePrice
from tollway.wire.pricing import charge_nusd, worst_case_nusd
from tollway.wire.usage import Usage

FEE = 50_000_000
FAST = ServicePrice("fast", 30 * 10**9, 150 * 10**9, cache_read=3 * 10**9, cache_write=37_500_000_000)
PRICE = Price(
    5 * 10**9,
    25 * 10**9,
    cache_read=5 * 10**8,
    tiers=(PriceTier(200_000, 10 * 10**9, 37_500_000_000),),
    services=(FAST,),
)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("service", "dollars"), [("fast", 30 + 150), (None, 10 + 37.5), ("standard", 10 + 37.5), ("unheard", 10 + 37.5)]
)
def test_an_answer_is_charged_at_the_price_of_its_service_or_at_the_ordinary_one(
    service: str | None, dollars: float
) -> None:
    usage = Usage(tokens_input=MILLION, tokens_output=MILLION, service=service)
    assert charge_nusd(usage, PRICE, is_managed=True) == int(dollars * 10**9) + 2 * FEE


def test_cached_input_of_a_service_has_its_price_too() -> None:
    usage = Usage(tokens_input=MILLION, tokens_output=0, tokens_cache_read=MILLION, service="fast")
    assert charge_nusd(usage, PRICE, is_managed=True) == 3 * 10**9 + FEE


def test_on_an_own_key_a_service_costs_the_fee_alone() -> None:
    usage = Usage(tokens_input=MILLION, tokens_output=MILLION, service="fast")
    assert charge_nusd(usage, PRICE, is_managed=False) == 2 * FEE


@given(
    tokens_input=st.integers(0, 500_000),
    tokens_output=st.integers(0, 100_000),
    cached=st.integers(0, 500_000),
    service=st.sampled_from([None, "fast", "standard"]),
)
def test_whichever_service_answers_costs_no_more_than_the_hold(
    tokens_input: int, tokens_output: int, cached: int, service: str | None
) -> None:
    usage = Usage(
        tokens_input=tokens_input,
        tokens_output=tokens_output,
        tokens_cache_write=min(cached, tokens_input),
        service=service,
    )
    held = worst_case_nusd(
        PRICE, is_managed=True, tokens_input=tokens_input, tokens_output=tokens_output, is_caching=True
    )
    assert charge_nusd(usage, PRICE, is_managed=True) <= held
