"""Reads a journal the way an auditor from outside would: SQL, SHA-256, JSON and addition. Nothing of the ledger's code.

What it holds against the log are the invariants of the design, numbered as there: conservation (1), non-negative (2),
overruns within their cap (3), once (6), charged what is explained (7), single history (11), fencing (12), burn order
(16), expiry (17), money in once (18). Every breach is a sentence; none is good.
"""

import hashlib
import json
import sqlite3
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

COLUMNS: Final = "journal, seq, epoch, ts, prev_hash, hash, n, first_eid, codec, body"
HEADER: Final = ">BHQQQQIB"
VERSION: Final = 1
GENESIS: Final = bytes(32)
GRACE_MS: Final = 60_000
FEE: Final = 50_000_000
MILLION: Final = 1_000_000
OVERRUN_MIN: Final = 10_000_000
SANE_MAX: Final = 10**9
SEARCHES_MAX: Final = 10**6
NEVER: Final = 2**63
CHARGED: Final = frozenset(("complete", "client_aborted", "credit_exhausted", "deadline", "content_filter"))
SYSTEM: Final = ("cash_in", "promo", "revenue", "breakage", "refund", "writeoff")

Row = tuple[Any, ...]


def read_blocks(source: Path | str) -> list[Row]:
    """All stored blocks: of a data directory's SQLite file, or of a PostgreSQL at a URL."""
    query = f"SELECT {COLUMNS} FROM ledger_block ORDER BY journal, seq"
    if isinstance(source, Path):
        connection = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    with psycopg.connect(source.replace("postgresql+psycopg", "postgresql")) as link:
        return [tuple(row) for row in link.execute(query).fetchall()]  # pyright: ignore[reportArgumentType]


def digest(row: Row) -> bytes:
    """The hash that a block's stored bytes have."""
    journal, seq, epoch, ts, prev_hash, _, n, first_eid, codec, body = row
    packed = struct.pack(HEADER, VERSION, journal, seq, epoch, ts, first_eid, n, codec)
    return hashlib.sha256(packed + prev_hash + body).digest()


@dataclass
class Lot:
    """A lot of credit; `order` counts the account's lots."""

    remaining: int
    order: int
    priority: int
    expires_at: int | None
    reserved: int = 0
    is_expired: bool = False

    @property
    def free(self) -> int:
        return self.remaining - self.reserved


@dataclass
class Account:
    """Sub-ledgers and flows of one account."""

    available: int = 0
    held: int = 0
    debt: int = 0
    came_in: int = 0
    charged: int = 0
    went_out: int = 0
    lots: dict[str, Lot] = field(default_factory=dict[str, Lot])


@dataclass
class Hold:
    """An open hold. `slices` in burn order."""

    account: str
    amount: int
    slices: list[tuple[str, int]]
    deadline: int
    extensions: int = 0


@dataclass(frozen=True)
class Settlement:
    """How a request was charged."""

    hold: str
    account: str
    charged: int
    cost: int
    is_late: bool
    outcome: str
    certainty: str
    tokens_input: int
    tokens_output: int
    attempts: int


class Books:
    """The log, read from its first block. `breaches` is what is wrong with it."""

    def __init__(self, blocks: Iterable[Row]) -> None:
        self.breaches: list[str] = []
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.holds: dict[str, Hold] = {}
        self.expired: dict[str, Hold] = {}
        self.settled: dict[str, Settlement] = {}
        self.voided: set[str] = set()
        self.opened: dict[str, int] = {}
        """Every hold's first amount."""
        self.owners: dict[str, str] = {}
        """Every hold's account."""
        self.conflicts: list[dict[str, Any]] = []
        self.payments: set[tuple[str, str]] = set()
        self.system: dict[str, int] = dict.fromkeys(SYSTEM, 0)
        self.heads: dict[int, tuple[int, bytes]] = {}
        self.events = 0
        self.blocks = 0
        self._where = ""
        self._ts_ms = 0
        self._epochs: dict[int, int] = {}
        ends: dict[int, Row] = {}
        damaged: set[int] = set()
        for row in blocks:
            if row[0] not in damaged and not self._block(row, ends.get(row[0])):
                damaged.add(row[0])  # what follows a broken block says nothing
            ends[row[0]] = row

    def _wrong(self, what: str) -> None:
        self.breaches.append(f"{self._where}: {what}")

    def _hold_to(self, is_so: bool, what: str) -> None:
        if not is_so:
            self._wrong(what)

    # -- the chain

    def _block(self, row: Row, before: Row | None) -> bool:
        """Hold a block to the chain and let its events happen; False if it is not what was written."""
        journal, seq, epoch, ts, prev_hash, stored, n, first_eid, codec, body = row
        self._where = f"journal {journal} block {seq}"
        self.blocks += 1
        seq0, hash0, epoch0, ts0, end0 = _end_of(before)
        known = len(self.breaches)
        self._hold_to(digest(row) == stored, "its hash is not its content's")
        self._hold_to(prev_hash == hash0, "it does not link to the block before")
        self._hold_to(seq == seq0 + 1 and ts > ts0 and first_eid == end0, "numbers or time do not follow")
        self._hold_to(epoch >= epoch0, "an earlier epoch wrote after a later one")
        if len(self.breaches) > known:
            return False
        events = json.loads(zlib.decompress(body) if codec else body)
        self._hold_to(len(events) == n, "it holds another number of events than it says")
        self.heads[journal] = (seq, bytes(stored))
        self._ts_ms = ts // 1000
        for event in events:
            self._event(event, journal, epoch)
        return True

    def _event(self, event: dict[str, Any], journal: int, epoch: int) -> None:
        self.events += 1
        kind = event["t"]
        if kind == "epoch.started":
            self._hold_to(event["epoch"] == epoch > self._epochs.get(journal, 0), "its epoch is not a new one")
            self._epochs[journal] = epoch
        effect = _EFFECTS.get(kind)
        if effect is not None:
            before = dict(self.system)
            account = self.accounts[event["a"]]
            sums = _worth(account)
            effect(self, event, account)
            moved = _worth(account) - sums + sum(self.system.values()) - sum(before.values())
            self._hold_to(moved == 0, f"{kind} makes or loses {moved}")
            self._sound(account, kind)

    def _sound(self, account: Account, kind: str) -> None:
        self._hold_to(min(account.available, account.held, account.debt) >= 0, f"{kind} leaves a negative balance")
        lots = account.lots.values()
        self._hold_to(all(0 <= lot.reserved <= lot.remaining for lot in lots), f"{kind} leaves a lot overdrawn")
        self._hold_to(sum(lot.reserved for lot in lots) == account.held, f"{kind}: held is not what lots reserve")
        self._hold_to(sum(lot.free for lot in lots) == account.available, f"{kind}: available is not in lots")
        flows = account.came_in - account.charged - account.went_out
        self._hold_to(_worth(account) == flows, f"{kind}: the balance is not what came in less what went out")

    # -- credit

    def granted(self, event: dict[str, Any], account: Account) -> None:
        key = (event["source"], event["ext_ref"])
        self._hold_to(key not in self.payments, f"payment {key} came in twice")
        self.payments.add(key)
        self._lot_in(account, event["lot"], event["amount"], event.get("priority", 0), event.get("expires_at"))
        self.system["cash_in" if event["t"] == "credit.purchased" else "promo"] -= event["amount"]

    def _lot_in(self, account: Account, name: str, amount: int, priority: int, expires_at: int | None) -> None:
        self._hold_to(name not in account.lots and amount > 0, f"lot {name} is not new or has nothing")
        account.lots[name] = Lot(amount, len(account.lots), priority, expires_at)
        account.available += amount
        account.came_in += amount

    def reversed(self, event: dict[str, Any], account: Account) -> None:
        taken = self._take(account, event["lots"])
        self._hold_to(taken + event["debt"] == event["amount"], "a reversal does not add up")
        account.debt += event["debt"]
        account.went_out += event["amount"]
        self.system["refund"] += event["amount"]

    def adjusted(self, event: dict[str, Any], account: Account) -> None:
        amount = event["amount"]
        if amount > 0:
            self._lot_in(account, event["lot"], amount, 0, None)
        else:
            taken = self._take(account, event.get("lots", []))
            self._hold_to(taken + event.get("debt", 0) == -amount, "an adjustment does not add up")
            account.debt += event.get("debt", 0)
            account.went_out -= amount
        self.system["writeoff"] -= amount

    def repaid(self, event: dict[str, Any], account: Account) -> None:
        taken = self._take(account, event["lots"])
        self._hold_to(taken == event["amount"] <= account.debt, "more repaid than owed")
        account.debt -= event["amount"]

    def lot_expired(self, event: dict[str, Any], account: Account) -> None:
        lot = account.lots[event["lot"]]
        self._hold_to(lot.expires_at is not None and self._ts_ms > lot.expires_at, "a lot expired before its time")
        self._hold_to(event["amount"] == lot.free, "more or less than the unreserved rest expired")
        lot.remaining -= event["amount"]
        lot.is_expired = True
        account.available -= event["amount"]
        account.went_out += event["amount"]
        self.system["breakage"] += event["amount"]

    def _take(self, account: Account, slices: list[list[Any]]) -> int:
        for name, amount in slices:
            account.lots[name].remaining -= amount
            account.available -= amount
        return sum(amount for _, amount in slices)

    # -- holds

    def hold_opened(self, event: dict[str, Any], account: Account) -> None:
        name = event["hold"]
        self._hold_to(name not in self.opened, f"hold {name} was opened twice")
        self.opened[name], self.owners[name] = event["amount"], event["a"]
        slices = self._reserve(account, event["lots"], event["amount"])
        self.holds[name] = Hold(event["a"], event["amount"], slices, event["deadline"])

    def hold_extended(self, event: dict[str, Any], account: Account) -> None:
        hold = self.holds[event["hold"]]
        self._hold_to(event["nth"] == hold.extensions + 1, "extensions are not counted")
        hold.slices += self._reserve(account, event["lots"], event["delta"])
        hold.amount += event["delta"]
        hold.extensions = event["nth"]
        hold.deadline = event.get("deadline") or hold.deadline

    def _reserve(self, account: Account, said: list[list[Any]], amount: int) -> list[tuple[str, int]]:
        slices = [(str(name), int(part)) for name, part in said]
        self._hold_to(slices == _prefix(account.lots, amount), "the lots are not the first of the burn order")
        for name, part in slices:
            account.lots[name].reserved += part
        account.available -= amount
        account.held += amount
        return slices

    def _ended(self, name: str) -> Hold:
        hold = self.holds.pop(name, None)
        if hold is None:
            self._wrong(f"hold {name} ends but is not open")
            return Hold("", 0, [], 0)
        return hold

    def _release(self, account: Account, hold: Hold, consumed: int) -> None:
        left = consumed
        for name, part in hold.slices:
            used = min(left, part)
            left -= used
            account.lots[name].reserved -= part
            account.lots[name].remaining -= used
        self._hold_to(left == 0, "more was consumed than held")
        account.held -= hold.amount
        account.available += hold.amount - consumed

    def settled_in_time(self, event: dict[str, Any], account: Account) -> None:
        hold = self._ended(event["hold"])
        overrun = event.get("overrun", 0)
        consumed = event["charged"] - overrun
        self._hold_to(event["released"] == hold.amount - consumed, "what is released is not what is left")
        self._release(account, hold, consumed)
        taken = self._take(account, event.get("lots", []))
        self._hold_to(taken + event.get("debt", 0) == overrun, "an overrun does not add up")
        self._charge(event, account, hold, is_late=False)

    def settled_late(self, event: dict[str, Any], account: Account) -> None:
        hold = self.expired.pop(event["hold"], None)
        self._hold_to(hold is not None, "settled late without having expired")
        taken = self._take(account, event["lots"])
        self._hold_to(taken + event.get("debt", 0) == event["charged"], "a late settlement does not add up")
        self._charge(event, account, hold or Hold("", 0, [], 0), is_late=True)

    def _charge(self, event: dict[str, Any], account: Account, hold: Hold, *, is_late: bool) -> None:
        name, charged, cost = event["hold"], event["charged"], event["cost"]
        written_off = event.get("written_off", 0)
        self._hold_to(name not in self.settled, f"hold {name} was settled twice")
        self._hold_to(charged + written_off == cost == cost_of(event), f"hold {name}: {cost} is not its usage's price")
        cap = hold.amount + max(hold.amount // 20, OVERRUN_MIN)
        self._hold_to(charged <= cap, f"hold {name}: {charged} is beyond the overrun's cap")
        account.debt += event.get("debt", 0)
        account.charged += charged
        self.system["revenue"] += charged + written_off
        self.system["writeoff"] -= written_off
        report, usage = event["report"], event["report"]["usage"]
        self.settled[name] = Settlement(
            name,
            event["a"],
            charged,
            cost,
            is_late,
            report["outcome"],
            report["certainty"],
            usage.get("tokens_input", 0),
            usage.get("tokens_output", 0),
            len(report["attempts"]),
        )

    def hold_voided(self, event: dict[str, Any], account: Account) -> None:
        hold = self._ended(event["hold"])
        self._hold_to(event["released"] == hold.amount, "a void does not give all back")
        self._release(account, hold, 0)
        self.voided.add(event["hold"])

    def hold_expired(self, event: dict[str, Any], account: Account) -> None:
        hold = self._ended(event["hold"])
        self._hold_to(event["released"] == hold.amount, "an expired hold does not give all back")
        self._hold_to(self._ts_ms >= hold.deadline + GRACE_MS, "a hold expired before its time")
        self._release(account, hold, 0)
        self.expired[event["hold"]] = hold

    def conflicted(self, event: dict[str, Any], _account: Account) -> None:
        self.conflicts.append(event)

    def witnessed(self, event: dict[str, Any], _account: Account) -> None:
        self._hold_to(event["hold"] in self.holds, "a witness for a hold that is not open")


_EFFECTS: Final[dict[str, Callable[[Books, dict[str, Any], Account], None]]] = {
    "credit.purchased": Books.granted,
    "credit.granted": Books.granted,
    "credit.reversed": Books.reversed,
    "adjustment.posted": Books.adjusted,
    "debt.repaid": Books.repaid,
    "lot.expired": Books.lot_expired,
    "hold.opened": Books.hold_opened,
    "hold.extended": Books.hold_extended,
    "hold.settled": Books.settled_in_time,
    "hold.settled_late": Books.settled_late,
    "hold.voided": Books.hold_voided,
    "hold.expired": Books.hold_expired,
    "usage.conflict": Books.conflicted,
    "usage.witnessed": Books.witnessed,
}


def _end_of(row: Row | None) -> tuple[int, bytes, int, int, int]:
    """Number, hash, epoch, time and next event of the block before."""
    return (0, GENESIS, 0, 0, 0) if row is None else (row[1], row[5], row[2], row[3], row[7] + row[6])


def _worth(account: Account) -> int:
    return account.available + account.held - account.debt


def _prefix(lots: dict[str, Lot], amount: int) -> list[tuple[str, int]]:
    """The minimal prefix of the burn order that covers the amount."""
    slices: list[tuple[str, int]] = []
    in_order = sorted(lots.items(), key=lambda item: (item[1].priority, item[1].expires_at or NEVER, item[1].order))
    for name, lot in in_order:
        part = min(lot.free, amount)
        if part > 0 and not lot.is_expired:
            slices.append((name, part))
            amount -= part
    return slices


def cost_of(event: dict[str, Any]) -> int:
    """What the usage in a settlement costs by the price in it: summed, divided once, rounded up."""
    report = event["report"]
    usage, price = report["usage"], report.get("price") or {}
    counts = [usage.get(name) or 0 for name in usage if name != "service"]
    searches = usage.get("searches") or 0
    if report["outcome"] not in CHARGED or not all(0 <= count <= SANE_MAX for count in counts):
        return 0
    if searches > SEARCHES_MAX:
        return 0
    total = FEE * ((usage.get("tokens_input") or 0) + (usage.get("tokens_output") or 0))
    extra = 0
    if report.get("is_managed") and price:
        total += _model_cost(usage, price)
        extra = price.get("per_request", 0) + searches * (price.get("per_search") or 0)
    return -(-total // MILLION) + extra


def _model_cost(usage: dict[str, Any], price: dict[str, Any]) -> int:
    def used(name: str) -> int:
        return usage.get(f"tokens_{name}") or 0

    services = [special for special in price.get("services", []) if special["service"] == usage.get("service")]
    tiers = [tier for tier in price.get("tiers", []) if used("input") > tier["above_tokens_input"]]
    tiers.sort(key=lambda tier: tier["above_tokens_input"])
    rates = [price, *tiers, *services][-1]
    thought = used("reasoning") if price.get("reasoning") is not None else 0

    def rate(of: dict[str, Any], name: str, default: str) -> int:
        return of[default] if of.get(name) is None else of[name]

    hour = min(used("cache_write_hour"), used("cache_write"))
    plain_in = max(0, used("input") - used("cache_read") - used("cache_write") - used("audio_input"))
    plain_out = max(0, used("output") - thought - used("audio_output"))
    return (
        plain_in * rates["input"]
        + plain_out * rates["output"]
        + used("cache_read") * rate(rates, "cache_read", "input")
        + (used("cache_write") - hour) * rate(rates, "cache_write", "input")
        + hour * 2 * rates["input"]
        + used("audio_input") * rates.get("audio_input", price.get("audio_input") or rates["input"])
        + used("audio_output") * rates.get("audio_output", price.get("audio_output") or rates["output"])
        + (thought * price["reasoning"] if thought else 0)
    )
