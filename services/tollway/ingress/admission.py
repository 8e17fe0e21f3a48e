"""Who is let in when: limits of a key, and fairness between accounts when the house is full. Pure: told the time.

Counts are this process's own: with N ingress processes a key's limit is held by each, so callers spread over them get
up to N times the limit. Money limits are the ledger's and exact.
"""

from collections import Counter
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from tollway.wire.access import Principal
from tollway.wire.refusals import Refusal, refuse

IN_FLIGHT_MAX: Final = 4_000
"""Requests that one process carries at once; above it latency would explode for everybody."""
METERS_MAX: Final = 50_000
MINUTE_S: Final = 60.0
ROUNDING_S: Final = 1e-3
"""Far below any wait that is worth a refusal, far above what many additions to a clock of years lose."""


class Meter:
    """A limit per minute that refills steadily (the generic cell rate algorithm); `due_s` is when it is full again."""

    __slots__ = ("due_s",)

    def __init__(self) -> None:
        self.due_s = 0.0

    def wait_s(self, amount: int, per_minute: int, now_s: float) -> float:
        """How long until `amount` fits; 0: it fits now. What the rounding of a large clock leaves over is no wait."""
        backlog_s, takes_s = max(0.0, self.due_s - now_s), amount * MINUTE_S / per_minute
        wait_s = backlog_s + takes_s - max(MINUTE_S, takes_s)
        return wait_s if wait_s > ROUNDING_S else 0.0

    def take(self, amount: int, per_minute: int, now_s: float) -> None:
        """Count it."""
        self.due_s = max(self.due_s, now_s) + amount * MINUTE_S / per_minute


class Admission:
    """Counts what is in flight and what each key took. `shed`: requests turned away for want of room, by reason."""

    def __init__(self, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._in_flight_max = in_flight_max
        self._in_flight: dict[str, int] = {}
        self._total = 0
        self._requests: dict[str, Meter] = {}
        self._tokens: dict[str, Meter] = {}
        self.shed: Counter[str] = Counter()

    def knock(self, principal: Principal, now_s: float) -> Refusal | None:
        """Before the body is read: requests per minute, room in the house. Counts the request."""
        full = self._full(principal.account_id)
        if full is not None:
            return full
        limit = principal.limits.requests_per_minute
        return _metered(self._requests, principal.access_key_id, 1, limit, now_s, "requests")

    def weigh(self, principal: Principal, tokens: int, now_s: float) -> Refusal | None:
        """Once the size is known: tokens per minute, by the upper bound of the input."""
        limit = principal.limits.tokens_per_minute
        return _metered(self._tokens, principal.access_key_id, tokens, limit, now_s, "tokens")

    def enter(self, account_id: str) -> None:
        """A request of this account is in flight."""
        self._total += 1
        self._in_flight[account_id] = self._in_flight.get(account_id, 0) + 1

    def leave(self, account_id: str) -> None:
        """It is over."""
        self._total -= 1
        left = self._in_flight.get(account_id, 1) - 1
        if left:
            self._in_flight[account_id] = left
        else:
            self._in_flight.pop(account_id, None)

    def _full(self, account_id: str) -> Refusal | None:
        """Above half of the room an account may have no more than its even share of it."""
        if self._total >= self._in_flight_max:
            self.shed["full"] += 1
            return refuse("gateway_unavailable", "The gateway is at its limit; try again in a moment.", retry_after_s=1)
        share = self._in_flight_max // (2 * max(1, len(self._in_flight)))
        is_crowded = self._total >= self._in_flight_max // 2
        if is_crowded and self._in_flight.get(account_id, 0) >= max(1, share):
            self.shed["share"] += 1
            return refuse("rate_limited", "The gateway is busy and this account has its share of it.", retry_after_s=1)
        return None

    @property
    def in_flight(self) -> int:
        """Requests carried now."""
        return self._total


def _metered(
    meters: dict[str, Meter], key_id: str, amount: int, per_minute: int | None, now_s: float, what: str
) -> Refusal | None:
    if per_minute is None:
        return None
    if len(meters) > METERS_MAX:
        meters.clear()
    meter = meters.setdefault(key_id, Meter())
    wait_s = meter.wait_s(amount, per_minute, now_s)
    if wait_s > 0:
        message = f"The access key's limit of {per_minute} {what} per minute is used up."
        return refuse("rate_limited", message, retry_after_s=int(wait_s) + 1)
    meter.take(amount, per_minute, now_s)
    return None


def may_come_from(client: str, principal: Principal) -> bool:
    """Whether the access key may be used from this address, on any route."""
    addresses = principal.limits.addresses
    return addresses is None or is_listed(client, addresses)


def is_listed(client: str, addresses: tuple[str, ...]) -> bool:
    """Whether an address is in one of these networks (`10.0.0.0/8`, `::1`). What is no address is in none; an IPv4
    caller of a socket that takes both kinds is one of IPv4."""
    try:
        address = ip_address(client)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ip_network(network, strict=False) for network in addresses)
