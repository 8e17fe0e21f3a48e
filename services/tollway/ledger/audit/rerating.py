"""What the past would have cost at other prices: settled usage, rated anew, nothing written."""

from typing import Final, TypeAlias

import msgspec

from tollway.ledger import events as ev
from tollway.ledger.journal.block import Head, events_of
from tollway.ledger.journal.reading import walk
from tollway.ledger.journal.store import JournalStore
from tollway.wire.plan import Price
from tollway.wire.pricing import charge_nusd
from tollway.wire.subjects import JOURNALS, journal_of

Prices: TypeAlias = dict[str, Price]
"""Prices by `provider:model`."""
_read_report: Final = msgspec.json.Decoder(ev.Report).decode


def below_zero(prices: Prices) -> str:
    """The first model with a price below zero; "" if there is none."""
    return next((name for name, price in prices.items() if min(_amounts(price)) < 0), "")


def _amounts(price: Price) -> list[int]:
    """Every amount in a price; those that are not told count as none."""
    rates = (price, *price.tiers, *price.services)
    told = [amount for rate in rates for amount in (rate.input, rate.output, rate.cache_read, rate.cache_write)]
    told += [price.reasoning, price.audio_input, price.audio_output, price.per_request, price.per_search]
    return [amount or 0 for amount in told]


class Rated(msgspec.Struct):
    """Sums over settled requests; `cost` is what the log says, before write-offs."""

    requests: int = 0
    repriced: int = 0
    cost: int = 0
    new_cost: int = 0


def rerate(store: JournalStore, prices: Prices, *, account: str = "") -> Rated:
    """Rate every settlement (of one account, if told) with these prices. Raises DamagedError, UnknownError."""
    rated = Rated()
    for journal in [journal_of(account)] if account else range(JOURNALS):
        for block in walk(store, journal, Head()):
            for event in events_of(block):
                is_settlement = isinstance(event, ev.HoldSettled | ev.HoldSettledLate)
                if is_settlement and account in ("", event.account):
                    _add(rated, event, prices)
    return rated


def _add(rated: Rated, event: ev.HoldSettled | ev.HoldSettledLate, prices: Prices) -> None:
    report = _read_report(event.report)
    served = next((attempt for attempt in report.attempts if attempt.is_served), None)
    price = prices.get(f"{served.provider}:{served.model}") if served else None
    rated.requests += 1
    rated.cost += event.cost
    if price is None or not report.is_managed or not event.cost:
        rated.new_cost += event.cost
        return
    rated.repriced += 1
    rated.new_cost += charge_nusd(report.usage, price, is_managed=True)
