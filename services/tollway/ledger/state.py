"""What a journal's events add up to: accounts, lots, open holds, endings. `applying` is all that changes it.

Equal states give equal bytes (`canonical`), whoever replayed them and when.
"""

import hashlib
from typing import Final, Literal, TypeAlias

import msgspec

from tollway.ledger import events as ev
from tollway.ledger.lots import Lot
from tollway.ledger.spend import KeySpend

CLOSED_WINDOW_MS: Final = 600_000
"""Ended holds are remembered for one to two of these windows; new holds with older ids are refused."""
STATE_VERSION: Final = 2
"""Raised when events come to mean another state: digests and snapshots of other versions are not compared or used."""
EXPIRED_KEPT_MS: Final = 30 * 86_400_000
"""How long an expired hold waits for a late fact: as long as USAGE keeps facts."""

Ending: TypeAlias = Literal["settled", "voided", "settled_late"]


class Account(msgspec.Struct):
    """One account's sub-ledgers, its lots in burn order, and what its keys spent.

    `available + held - debt = purchased + granted + adjusted - reversed - charged - expired`. `unrecovered` is what
    its broken calls cost the operator.
    """

    available: int = 0
    held: int = 0
    debt: int = 0
    purchased: int = 0
    granted: int = 0
    reversed: int = 0
    charged: int = 0
    expired: int = 0
    adjusted: int = 0
    unrecovered: int = 0
    lots_made: int = 0
    is_delivery_charged: bool = False
    status: ev.Status = "active"
    lots: list[Lot] = []
    keys: dict[str, KeySpend] = {}

    def lot(self, identifier: str) -> Lot:
        """The lot of this id; a lot is forgotten only when nothing of it remains."""
        for lot in self.lots:
            if lot.id == identifier:
                return lot
        raise AssertionError(f"no lot {identifier}")


class Hold(msgspec.Struct):
    """Credit set aside for one request, in slices of lots."""

    account: str
    key: str
    amount: int
    lots: ev.Slices
    deadline: int
    price_version: str = ""
    extensions: int = 0
    day_max: int | None = None
    month_max: int | None = None
    witness: ev.HoldWitnessed | None = None


class Closed(msgspec.Struct, array_like=True, gc=False):
    """How a hold ended. `digest` of the fact that counts ("": none), `conflict` of the last other one."""

    ending: Ending
    account: str
    charged: int = 0
    digest: str = ""
    conflict: str = ""


class Expired(msgspec.Struct, gc=False):
    """A hold that ended by its deadline and may still be settled late."""

    account: str
    key: str
    amount: int
    at: int


class Payment(msgspec.Struct, gc=False):
    """Money that came in, once for ever."""

    account: str
    lot: str
    amount: int
    reversed: int = 0


class System(msgspec.Struct, gc=False):
    """The other side of every transfer. All sub-ledgers of a journal add up to zero."""

    cash_in: int = 0
    promo: int = 0
    revenue: int = 0
    breakage: int = 0
    refund: int = 0
    writeoff: int = 0


class State(msgspec.Struct):
    """A journal's state after `events` events; `ts_ms` is the time of the block being applied."""

    journal: int
    events: int = 0
    epoch: int = 0
    ts_ms: int = 0
    window: int = 0
    system: System = msgspec.field(default_factory=System)
    accounts: dict[str, Account] = {}
    holds: dict[str, Hold] = {}
    closed: dict[str, Closed] = {}
    closed_before: dict[str, Closed] = {}
    expired: dict[str, Expired] = {}
    payments: dict[str, Payment] = {}
    idem: dict[str, int] = {}

    def ended(self, hold: str) -> Closed | None:
        """How a hold ended, if that is remembered."""
        return self.closed.get(hold) or self.closed_before.get(hold)


_encoder: Final = msgspec.json.Encoder(order="sorted")


def canonical(state: State) -> bytes:
    """The state as bytes: equal states give equal bytes, in any process, on any database."""
    return _encoder.encode(state)


def root(state: State) -> str:
    """The digest that `state.root` carries: all that is money, without the memory of holds that were settled."""
    digest = hashlib.sha256()
    parts = (state.events, state.system, state.accounts, state.holds, state.expired, state.payments, state.idem)
    for part in parts:
        digest.update(_encoder.encode(part))
    return digest.hexdigest()


def payment_key(account: str, source: str, ext_ref: str) -> str:
    """Under which a payment is remembered: once per account, since accounts do not share journals. No slash in ids."""
    return f"{account}/{source}/{ext_ref}"
