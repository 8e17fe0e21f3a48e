"""Lots and the order in which they burn: by priority, then the one that expires first, then the oldest."""

from typing import Final

import msgspec

from tollway.ledger.events import Slices

NEVER_MS: Final = 2**63 - 1


class Lot(msgspec.Struct, gc=False):
    """Bought or given credit. `0 <= reserved <= remaining <= amount`; `created` counts the account's lots."""

    id: str
    source: str
    ext_ref: str
    amount: int
    remaining: int
    created: int
    reserved: int = 0
    priority: int = 0
    expires_at: int | None = None
    is_expired: bool = False

    @property
    def free(self) -> int:
        """What nobody has reserved."""
        return self.remaining - self.reserved


def burn_key(lot: Lot) -> tuple[int, int, int]:
    """Sorts lots into burn order; `created` is unique within an account."""
    return lot.priority, NEVER_MS if lot.expires_at is None else lot.expires_at, lot.created


def pick(lots: list[Lot], amount: int) -> tuple[Slices, int]:
    """The minimal prefix of the burn order that covers `amount`, and the shortage (0: covered)."""
    slices: Slices = []
    for lot in lots:
        if amount == 0:
            break
        free = min(lot.remaining - lot.reserved, amount)
        if free > 0 and not lot.is_expired:
            slices.append((lot.id, free))
            amount -= free
    return slices, amount


def merge(first: Slices, second: Slices) -> Slices:
    """One list of slices after another; neighbours from the same lot become one."""
    merged = list(first)
    for lot, amount in second:
        if merged and merged[-1][0] == lot:
            merged[-1] = (lot, merged[-1][1] + amount)
        else:
            merged.append((lot, amount))
    return merged
