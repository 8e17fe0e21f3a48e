"""`/credits`: what there is, what came and went."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query

from tollway.ingress.management.caller import AtDesk
from tollway.ingress.management.resources import ERRORS, PAGE_MAX, BeforeId, Limit
from tollway.ingress.management.shapes import Listed, Moment, Shown, maybe_rfc3339, rfc3339
from tollway.wire.money import NUSD_PER_CENT, cents_floor, dollars
from tollway.wire.queries import Balance, GetBalance, ListTransactions, Transaction, TransactionList, TransactionType

TRANSACTIONS: Final = "/credits/transactions"


class BalanceShown(Shown):
    """Whole US cents that have not been spent."""

    balance_cents: int


class TransactionShown(Shown):
    """A movement of credit: `credits` is a lot that came in, `usage` what one UTC day cost.

    `amountCents` leaves out the part of a cent; `amount` is exact, in dollars.
    """

    id: str
    type: TransactionType
    amount_cents: int
    amount: str
    category: Literal["purchase", "promotional"] | None
    expires_at: Moment | None
    created_at: Moment
    reason: str | None


class TransactionListShown(Listed):
    """Newest first."""

    items: list[TransactionShown]


def credits_router() -> APIRouter:
    """Balance and transactions."""
    router = APIRouter(responses=ERRORS, tags=["Credits"])
    router.add_api_route("/credits/balance", get_balance, methods=["GET"], response_model=BalanceShown)
    router.add_api_route(TRANSACTIONS, list_transactions, methods=["GET"], response_model=TransactionListShown)
    return router


async def get_balance(desk: AtDesk) -> BalanceShown:
    """What has not been spent, running requests included."""
    balance = await desk.query(GetBalance(desk.by.account_id), Balance)
    return BalanceShown(balance_cents=cents_floor(balance.available_nusd + balance.held_nusd))


async def list_transactions(
    desk: AtDesk,
    limit: Limit = PAGE_MAX,
    before_id: BeforeId = None,
    cursor: Annotated[str | None, Query(max_length=255, description="The same as beforeId.")] = None,
) -> Any:
    """Credit that came, and what was used, by day."""
    begin = before_id or cursor
    command = ListTransactions(desk.by.account_id, limit, begin or "")
    page = await desk.query(command, TransactionList)
    sized = limit if limit != PAGE_MAX else None
    next_uri = desk.uris.to(TRANSACTIONS, limit=sized, beforeId=page.next_before_id) if page.next_before_id else None
    return TransactionListShown(
        items=list(map(_show, page.items)),
        uri=desk.uris.to(TRANSACTIONS, limit=sized, beforeId=begin),
        next_page_uri=next_uri,
    )


def _show(item: Transaction) -> TransactionShown:
    return TransactionShown(
        id=item.id,
        type=item.type,
        amount_cents=_cents(item.amount_nusd),
        amount=dollars(item.amount_nusd),
        category=item.category,
        expires_at=maybe_rfc3339(item.expires_at_ms),
        created_at=rfc3339(item.created_at_ms),
        reason=item.reason or None,
    )


def _cents(nusd: int) -> int:
    """Whole cents, toward zero: a charge of a tenth of a cent is no cent."""
    return -(-nusd // NUSD_PER_CENT) if nusd < 0 else nusd // NUSD_PER_CENT
