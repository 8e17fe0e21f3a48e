"""Tokens to money. One function for the hold, the receipt and the ledger's charge, so that they cannot disagree."""

from tollway.wire.money import NUSD_MAX, Nusd, per_million
from tollway.wire.plan import Price, PriceTier, ServicePrice
from tollway.wire.usage import Usage

FEE_NUSD_PER_MILLION = 50_000_000
"""The processing fee: $0.05 per million tokens, input plus output, on all traffic."""

TOKENS_SANE_MAX = 1_000_000_000
"""Above this a provider's figure is absurd and is not believed."""

SEARCHES_SANE_MAX = 1_000_000
"""The same for web searches of one request."""

SEARCH_TOKENS = 8_000
"""Input that a hold allows for each search: what a provider finds comes back as input that it bills. OpenAI bills so
many for each search of its small models (price list, 2026-03); for the others it is an estimate."""

HOUR_CACHE_FACTOR = 2
"""What is written to a cache for an hour costs twice the input price (Anthropic, 2026-11-20; others keep no hour)."""

OVERRUN_NUSD_MIN = 10_000_000
"""$0.01: an overrun up to this, or up to 5 % of the hold, is the customer's; more is the operator's write-off."""

OVERRUN_DIVISOR = 20


def overrun_max(hold_nusd: int) -> int:
    """How much more than its hold a request may charge."""
    return max(hold_nusd // OVERRUN_DIVISOR, OVERRUN_NUSD_MIN)


def charged_of(cost_nusd: int, hold_nusd: int) -> int:
    """What the customer pays of a cost; the rest is written off."""
    return min(cost_nusd, hold_nusd + overrun_max(hold_nusd))


def charge_nusd(usage: Usage, price: Price | None, *, is_managed: bool) -> Nusd:
    """The fee, plus the model's price on managed credentials; summed first, divided once, rounded up.

    Unknown classes count as none: the caller fills unknown totals with an estimate before it bills.
    """
    tokens_input, tokens_output = usage.tokens_input or 0, usage.tokens_output or 0
    total = (tokens_input + tokens_output) * FEE_NUSD_PER_MILLION
    by_count = 0
    if is_managed and price is not None:
        total += _model_total(usage, price)
        by_count = _by_count(price, usage.searches or 0)
    return Nusd(per_million(total) + by_count)


def _by_count(price: Price, searches: int) -> int:
    """What is billed by the piece beside the tokens."""
    return price.per_request + searches * (price.per_search or 0)


def _model_total(usage: Usage, price: Price) -> int:
    rates = rates_for(price, usage.tokens_input or 0, usage.service)
    cache_read, cache_write = usage.tokens_cache_read or 0, usage.tokens_cache_write or 0
    cache_hour = min(usage.tokens_cache_write_hour or 0, cache_write)
    audio_in, audio_out = usage.tokens_audio_input or 0, usage.tokens_audio_output or 0
    reasoning = usage.tokens_reasoning or 0 if price.reasoning is not None else 0
    plain_in = max(0, (usage.tokens_input or 0) - cache_read - cache_write - audio_in)
    plain_out = max(0, (usage.tokens_output or 0) - reasoning - audio_out)
    return (
        plain_in * rates.input
        + cache_read * _or(rates.cache_read, rates.input)
        + (cache_write - cache_hour) * _or(rates.cache_write, rates.input)
        + cache_hour * HOUR_CACHE_FACTOR * rates.input
        + audio_in * _or(price.audio_input, rates.input)
        + plain_out * rates.output
        + reasoning * _or(price.reasoning, rates.output)
        + audio_out * _or(price.audio_output, rates.output)
    )


def _or(rate: int | None, default: int) -> int:
    return default if rate is None else rate


def rates_for(price: Price, tokens_input: int, service: str | None = None) -> Price | PriceTier | ServicePrice:
    """The service, or the tier that an input of this length is billed at."""
    for special in price.services:
        if special.service == service:
            return special
    tiers = [tier for tier in price.tiers if tokens_input > tier.above_tokens_input]
    return max(tiers, key=lambda tier: tier.above_tokens_input) if tiers else price


def worst_case_nusd(
    price: Price | None,
    *,
    is_managed: bool,
    tokens_input: int,
    tokens_output: int,
    is_caching: bool = False,
    searches: int = 0,
) -> Nusd:
    """What a request can cost at most: every token at the dearest price that may apply to its class, every search that
    can happen, and an allowance for what the searches put into the input."""
    tokens_input += searches * SEARCH_TOKENS if is_managed else 0
    total = (tokens_input + tokens_output) * FEE_NUSD_PER_MILLION
    by_count = 0
    if is_managed and price is not None:
        total += tokens_input * _dearest_input(price, tokens_input, is_caching=is_caching)
        total += tokens_output * _dearest_output(price, tokens_input)
        by_count = _by_count(price, searches)
    return Nusd(min(per_million(total) + by_count, NUSD_MAX))


def _dearest_input(price: Price, tokens_input: int, *, is_caching: bool) -> int:
    rates = [price, *(tier for tier in price.tiers if tokens_input > tier.above_tokens_input), *price.services]
    plain = [rate.input for rate in rates]
    kept = [(rate.input, rate.cache_write) for rate in rates if is_caching and rate.cache_write]
    writes = [max(write, HOUR_CACHE_FACTOR * plain_rate) for plain_rate, write in kept]
    return max(*plain, *writes, price.audio_input or 0)


def _dearest_output(price: Price, tokens_input: int) -> int:
    tiers = (tier.output for tier in price.tiers if tokens_input > tier.above_tokens_input)
    services = (special.output for special in price.services)
    return max(price.output, price.reasoning or 0, price.audio_output or 0, *tiers, *services)
