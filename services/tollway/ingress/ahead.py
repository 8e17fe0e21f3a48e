"""Holds opened ahead of need: where requests of one kind follow each other quickly, their holds are already there.

Asking for a hold is a question and a disk's sync on every request's path. For a key that asks often, some are opened in
one command, each with a request id of its own, and a request that comes takes one. The ledger knows no difference: a
hold is a hold, durable before its request is dispatched, and settled, voided or expired like any other. What is not
used within two seconds is given back.

Only where credit is plenty: all that an account may have waiting is less than a hundredth of what it has available, so
that the last dollars go through the exact path, one hold at a time. A key with a money limit always does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from tollway import clock, ids
from tollway.bus import NOTHING, Bus
from tollway.ingress.giving_back import give_back
from tollway.ingress.stock import CREDIT_SHARE, KEEP_S, Held, Kind, Stock
from tollway.tasks import spawn
from tollway.wire import subjects
from tollway.wire.credit import HOLDS_AT_ONCE_MAX, HoldsOpened, OpenHolds, VoidHold
from tollway.wire.refusals import Refusal

ACCOUNTS_MAX: Final = 10_000
KINDS_MAX: Final = 100
"""Of one account."""
ASK_TIMEOUT_S: Final = 2.0
CLOSE_WITHIN_S: Final = 3.0


class HoldsAhead:
    """All stocks of this process. `holds_max`: how many of a kind may wait; 0: every hold is asked for by itself."""

    def __init__(self, bus: Bus, holds_max: int = HOLDS_AT_ONCE_MAX) -> None:
        self._bus = bus
        self._holds_max = min(holds_max, HOLDS_AT_ONCE_MAX)
        self._accounts: dict[str, dict[Kind, Stock]] = {}
        self._returns: set[asyncio.Task[None]] = set()

    @property
    def count(self) -> int:
        """Holds that wait for their requests."""
        return sum(len(stock.holds) for stocks in self._accounts.values() for stock in stocks.values())

    def take(self, kind: Kind, deadline_ms: int, now_s: float) -> str | None:
        """The id of an open hold for this request, or None: ask for one."""
        stocks = self._accounts.get(kind.account_id) or self._new_account(kind.account_id)
        stock = stocks.get(kind)
        if stock is None:
            if self._holds_max and len(stocks) < KINDS_MAX:
                stocks[kind] = Stock(now_s, self._holds_max)
            return None
        taken = stock.take(deadline_ms, now_s)
        count = stock.missing()
        if count and _is_plenty(stocks, stock.available_nusd):
            stock.is_ordered = True
            spawn(self._open(kind, stock, count), name="holds ahead")
        return taken

    def _new_account(self, account_id: str) -> dict[Kind, Stock]:
        stocks: dict[Kind, Stock] = {}
        if len(self._accounts) < ACCOUNTS_MAX:
            self._accounts[account_id] = stocks
        return stocks

    def learn(self, kind: Kind, available_nusd: int) -> None:
        """What the account had left when a hold of this kind was opened."""
        stock = self._of(kind)
        if stock is not None:
            stock.available_nusd = available_nusd

    def _of(self, kind: Kind) -> Stock | None:
        return self._accounts.get(kind.account_id, {}).get(kind)

    async def _open(self, kind: Kind, stock: Stock, count: int) -> None:
        command = OpenHolds(
            hold_ids=tuple(ids.new_id("rq") for _ in range(count)),
            account_id=kind.account_id,
            access_key_id=kind.access_key_id,
            amount_nusd=kind.amount_nusd,
            hold_deadline_ms=clock.now_ms() + kind.lifetime_ms + int(KEEP_S * 1000),
            price_version=kind.price_version,
            models=kind.models,
        )
        subject = subjects.hold(subjects.journal_of(kind.account_id))
        reply = await self._bus.ask(subject, command, HoldsOpened, timeout_s=ASK_TIMEOUT_S)
        stock.is_ordered = False
        if isinstance(reply, Refusal):
            stock.available_nusd = 0  # until a hold that was asked for by itself tells otherwise
            self._return(kind, command.hold_ids if reply.rule.is_retryable else ())
            return
        stock.available_nusd = reply.available_nusd
        now_s = clock.monotonic_s()
        opened = [Held(hold_id, command.hold_deadline_ms, now_s) for hold_id in command.hold_ids[: reply.opened]]
        if self._of(kind) is stock:
            stock.holds.extend(opened)
        else:
            self._return(kind, [held.hold_id for held in opened])

    def sweep(self, now_s: float) -> None:
        """Give back what nobody came for. Twice a second."""
        for account_id, stocks in list(self._accounts.items()):
            for kind, stock in list(stocks.items()):
                self._return(kind, stock.stale(now_s))
                if now_s - stock.asked_s > KEEP_S:
                    del stocks[kind]
            if not stocks:
                del self._accounts[account_id]

    def forget(self, account_id: str) -> None:
        """Give back all of an account's, or with "*" of everybody's."""
        for name in list(self._accounts) if account_id == "*" else [account_id]:
            for kind, stock in self._accounts.pop(name, {}).items():
                self._return(kind, [held.hold_id for held in stock.holds])

    async def close(self) -> None:
        """Give everything back, and wait until the ledger knows; not long for one that is away, since these holds have
        deadlines."""
        self.forget("*")
        if self._returns:
            await asyncio.wait(self._returns, timeout=CLOSE_WITHIN_S)

    def _return(self, kind: Kind, hold_ids: Sequence[str]) -> None:
        for hold_id in hold_ids:
            task = spawn(
                give_back(self._bus, VoidHold(hold_id, kind.account_id, "not used"), NOTHING), name="give back"
            )
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)


def _is_plenty(stocks: Mapping[Kind, Stock], available_nusd: int) -> bool:
    """Whether an account can spare all that may wait of it."""
    waiting_nusd = sum(stock.wanted * kind.amount_nusd for kind, stock in stocks.items())
    return CREDIT_SHARE * waiting_nusd <= available_nusd
