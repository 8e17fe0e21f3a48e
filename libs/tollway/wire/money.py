"""Nano-dollars: integers everywhere, `Decimal` only at the edge where people read or write dollars."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import NewType

Nusd = NewType("Nusd", int)

NUSD_PER_DOLLAR = 1_000_000_000
NUSD_PER_CENT = 10_000_000
TOKENS_PER_PRICE = 1_000_000
NUSD_MAX = 2**63 - 1


def nusd_of_dollars(text: str) -> Nusd:
    """Read dollars as people write them (`"10.00"`, `"0.000001"`). Raises ValueError below a nano-dollar."""
    try:
        nusd = Decimal(text) * NUSD_PER_DOLLAR
    except InvalidOperation:
        raise ValueError(f"not an amount of dollars: {text!r}") from None
    if not nusd.is_finite() or nusd != nusd.to_integral_value() or abs(nusd) > NUSD_MAX:
        raise ValueError(f"not an amount of dollars that nano-dollars can hold: {text!r}")
    return Nusd(int(nusd))


def nusd_of_cents(cents: int) -> Nusd:
    """Cents to nano-dollars."""
    return Nusd(cents * NUSD_PER_CENT)


def price_of_dollars(dollars_per_million: float | str | Decimal) -> int:
    """A list price (dollars per million tokens) as nano-dollars per million tokens, rounded up once."""
    exact = Decimal(str(dollars_per_million)) * NUSD_PER_DOLLAR
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def dollars(nusd: int) -> str:
    """An exact decimal string of dollars without trailing zeros: `"0"`, `"10"`, `"0.000125"`, `"-1.5"`."""
    sign, whole = ("-", -nusd) if nusd < 0 else ("", nusd)
    units, rest = divmod(whole, NUSD_PER_DOLLAR)
    return f"{sign}{units}.{rest:09d}".rstrip("0").rstrip(".")


def cents_floor(nusd: int) -> int:
    """Whole cents that the amount surely contains (rounded toward minus infinity)."""
    return nusd // NUSD_PER_CENT


def per_million(total: int) -> Nusd:
    """Divide a sum of tokens x price-per-million once, rounding up: the only rounding of a charge."""
    return Nusd(-(-total // TOKENS_PER_PRICE))
