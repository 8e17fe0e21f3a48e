"""Accounts and their credit, for operators."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import Field

from tollway import ids
from tollway.ingress.management.caller import AtDesk, Desk
from tollway.ingress.management.errors import Refused
from tollway.ingress.management.keys import ApiKeyShown, show_api_key
from tollway.ingress.management.resources import CONFLICT, ERRORS, MISSING, PAGE_MAX, BeforeId, Limit, page_uris
from tollway.ingress.management.shapes import (
    Asked,
    Description,
    Instant,
    Listed,
    Metadata,
    NameRequired,
    Shown,
    instant_ms,
)
from tollway.ingress.management.stamps import Stamped, stamps
from tollway.wire import subjects
from tollway.wire.credit import AdjustBalance, Booked, CreditGranted, GrantCredit
from tollway.wire.management import (
    Account,
    AccountChanges,
    AccountDraft,
    AnyFace,
    Created,
    CreateResource,
    GetResource,
    ListResources,
    Page,
    Resource,
    UpdateResource,
)
from tollway.wire.money import cents_floor, nusd_of_cents
from tollway.wire.queries import Balance, GetBalance
from tollway.wire.refusals import refuse

ACCOUNTS: Final = "/accounts"
SOURCE: Final = "operator"
CREDIT_TIMEOUT_S: Final = 10.0
Cents = Annotated[int, Field(ge=1, le=10_000_000_000)]
CentsEitherWay = Annotated[int, Field(ge=-10_000_000_000, le=10_000_000_000)]
Words = Annotated[str, Field(min_length=1, max_length=255)]


class AccountCreate(Asked):
    """Who pays."""

    name: NameRequired
    description: Description | None = None
    metadata: Metadata | None = None


class AccountPatch(Asked):
    """Absent leaves, null clears. A disabled account's keys are refused within a second."""

    name: NameRequired = ""
    description: Description | None = None
    metadata: Metadata | None = None
    enabled: bool = True


class AccountShown(Stamped):
    """An account. `handle` begins the id part of its keys."""

    name: str
    description: str | None
    handle: str
    enabled: bool


class FirstKey(ApiKeyShown):
    """The new account's API key, with its token."""

    token: str


class AccountCreated(AccountShown):
    """With the first API key."""

    api_key: FirstKey


class AccountList(Listed):
    """Newest first."""

    accounts: list[AccountShown]


class CreditGrant(Asked):
    """Credit for an account. `amount` in cents. The same `reference` is granted once, however often it is sent."""

    amount: Cents
    category: Literal["promotional", "purchase"] = "promotional"
    reason: Annotated[str, Field(max_length=255)] = ""
    expires_at: Instant | None = None
    reference: Words | None = None


class CreditGrantShown(Shown):
    """The new lot."""

    lot_id: str
    amount_cents: int
    available_cents: int
    reference: str


class Adjustment(Asked):
    """A correction in cents: positive gives, negative takes. The same `reference` is booked once."""

    amount: CentsEitherWay
    reason: Words
    ticket: Words
    reference: Words | None = None


class AdjustmentShown(Shown):
    """What the account has after it."""

    available_cents: int
    debt_cents: int
    reference: str


class AccountBalanceShown(Shown):
    """An account's money, in cents."""

    available_cents: int
    held_cents: int
    debt_cents: int


def account_router() -> APIRouter:
    """Accounts and their credit."""
    router = APIRouter(responses=ERRORS, tags=["Operators"])
    one, money = f"{ACCOUNTS}/{{id}}", MISSING | CONFLICT
    add = router.add_api_route
    add(ACCOUNTS, list_accounts, methods=["GET"], response_model=AccountList)
    add(ACCOUNTS, create_account, methods=["POST"], response_model=AccountCreated, status_code=201, responses=CONFLICT)
    add(one, get_account, methods=["GET"], response_model=AccountShown, responses=MISSING)
    add(one, patch_account, methods=["PATCH"], response_model=AccountShown, responses=MISSING | CONFLICT)
    add(f"{one}/balance", get_balance, methods=["GET"], response_model=AccountBalanceShown, responses=MISSING)
    add(f"{one}/credits", grant, methods=["POST"], response_model=CreditGrantShown, status_code=201, responses=money)
    add(
        f"{one}/adjustments", adjust, methods=["POST"], response_model=AdjustmentShown, status_code=201, responses=money
    )
    return router


# -- accounts


async def list_accounts(desk: AtDesk, limit: Limit = PAGE_MAX, before_id: BeforeId = None) -> AccountList:
    """All accounts of this installation."""
    page = await desk.manage(ListResources(desk.by, "account", limit, before_id or ""), Page)
    uri, next_uri = page_uris(desk, ACCOUNTS, page, limit, before_id)
    return AccountList(accounts=[_account(face, desk) for face in page.faces], uri=uri, next_page_uri=next_uri)


async def create_account(desk: AtDesk, body: AccountCreate) -> AccountCreated:
    """A new account with its first API key, whose token is shown here once."""
    draft = AccountDraft(body.name, body.description, body.metadata)
    made = await desk.manage(CreateResource(desk.by, draft), Created)
    if made.api_key is None:
        raise Refused(refuse("internal_error"))
    key = FirstKey(**dict(show_api_key(made.api_key, desk)), token=made.token)
    return AccountCreated(**dict(_account(made.face, desk)), api_key=key)


async def get_account(desk: AtDesk, id: str) -> AccountShown:  # noqa: A002  the API's own word
    """Operators: any account. Others: their own."""
    return _account((await desk.manage(GetResource(desk.by, "account", id), Resource)).face, desk)


async def patch_account(desk: AtDesk, id: str, body: AccountPatch) -> AccountShown:  # noqa: A002
    """Rename, describe, disable or enable."""
    fields = {("is_enabled" if name == "enabled" else name): value for name, value in body.given().items()}
    command = UpdateResource(desk.by, id, AccountChanges(**fields))
    return _account((await desk.manage(command, Resource)).face, desk)


def _account(face: AnyFace, desk: Desk) -> AccountShown:
    if not isinstance(face, Account):
        raise Refused(refuse("internal_error"))
    return AccountShown(
        **stamps(face, ACCOUNTS, desk.uris),
        name=face.name,
        description=face.description,
        handle=face.handle,
        enabled=face.is_enabled,
    )


# -- credit


async def _known_account(desk: Desk, account_id: str) -> None:
    """Ends the endpoint unless an operator asks about an account that exists: money never goes to a misspelt id."""
    desk.must_operate()
    await desk.manage(GetResource(desk.by, "account", account_id), Resource)


async def get_balance(desk: AtDesk, id: str) -> AccountBalanceShown:  # noqa: A002
    """What an account has."""
    await _known_account(desk, id)
    balance = await desk.query(GetBalance(id), Balance)
    return AccountBalanceShown(
        available_cents=cents_floor(balance.available_nusd),
        held_cents=cents_floor(balance.held_nusd),
        debt_cents=cents_floor(balance.debt_nusd),
    )


async def grant(desk: AtDesk, id: str, body: CreditGrant) -> CreditGrantShown:  # noqa: A002
    """Give credit. A purchase expires after 365 days, promotional credit when it says so or never."""
    await _known_account(desk, id)
    reference = body.reference or ids.new_id("grant")
    command = GrantCredit(
        account_id=id,
        amount_nusd=nusd_of_cents(body.amount),
        category=body.category,
        source=SOURCE,
        ext_ref=reference,
        by=desk.by.api_key_id,
        expires_at_ms=instant_ms(body.expires_at) if body.expires_at else None,
        reason=body.reason,
    )
    granted = await desk.ask(subjects.credit(subjects.journal_of(id)), command, CreditGranted, CREDIT_TIMEOUT_S)
    return CreditGrantShown(
        lot_id=granted.lot_id,
        amount_cents=cents_floor(granted.amount_nusd),
        available_cents=cents_floor(granted.available_nusd),
        reference=reference,
    )


async def adjust(desk: AtDesk, id: str, body: Adjustment) -> AdjustmentShown:  # noqa: A002
    """Correct a balance; what cannot be taken becomes debt."""
    await _known_account(desk, id)
    if body.amount == 0:
        raise Refused(refuse("validation", "amount: must not be zero", param="amount"))
    reference = body.reference or ids.new_id("adj")
    command = AdjustBalance(
        account_id=id,
        amount_nusd=nusd_of_cents(body.amount),
        reason=body.reason,
        ticket=body.ticket,
        by=desk.by.api_key_id,
        idem=reference,
    )
    booked = await desk.ask(subjects.credit(subjects.journal_of(id)), command, Booked, CREDIT_TIMEOUT_S)
    return AdjustmentShown(
        available_cents=cents_floor(booked.available_nusd),
        debt_cents=cents_floor(booked.debt_nusd),
        reference=reference,
    )
