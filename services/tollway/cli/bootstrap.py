"""The first account of a new installation: its keys from auth, its welcome credit from the ledger.

The keys are on disk before the credit is asked for, and the credit is asked for under one name, so that a start that
was interrupted anywhere is finished by the next one, once.
"""

import asyncio
from typing import Final

import msgspec

from tollway import clock, ids
from tollway.auth import bootstrap as auth
from tollway.bus.nats import NatsBus, connect
from tollway.cli.errors import CommandError
from tollway.cli.place import Credentials, Place
from tollway.settings import Settings, SettingsError
from tollway.wire import subjects
from tollway.wire.credit import CreditGranted, GrantCredit
from tollway.wire.money import nusd_of_dollars
from tollway.wire.refusals import Refusal

WELCOME_DOLLARS: Final = "10.00"
SOURCE: Final = "bootstrap"
GRANT_WITHIN_S: Final = 60.0
ASK_TIMEOUT_S: Final = 2.0
ASK_AGAIN_S: Final = 0.1


def first_account(place: Place, settings: Settings, *, base_url: str) -> Credentials:
    """Make the first account, and keep its keys in `credentials.json`. Called again before the start is complete, it
    finds those. Raises CommandError when auth's tables do not take it."""
    credentials = place.credentials()
    if credentials is not None:
        return credentials
    try:
        made = auth.first_account(settings)
    except SettingsError as error:
        raise CommandError(f"Cannot make the first account: {error}.") from None
    credentials = Credentials(base_url, f"{base_url}/api", made.account_id, made.access_key, made.api_key)
    place.save_credentials(credentials)
    return credentials


def readdress(place: Place, *, base_url: str) -> None:
    """Another port than last time: `credentials.json`, if it is still there, follows."""
    known = place.credentials()
    if known is not None and known.base_url != base_url:
        place.save_credentials(msgspec.structs.replace(known, base_url=base_url, api_url=f"{base_url}/api"))


async def welcome(credentials: Credentials, *, nats_url: str, password: str) -> None:
    """Grant the first account its credit, as the operator on the bus."""
    bus = await connect(nats_url, role="cli", node=ids.new_id("cli"), user="cli", password=password)
    try:
        await grant_welcome(bus, credentials.account_id)
    finally:
        await bus.drain()


async def grant_welcome(bus: NatsBus, account_id: str) -> None:
    """The promotional grant: once per account, however often it is asked for. Waits while the ledger starts."""
    grant = GrantCredit(
        account_id=account_id,
        amount_nusd=nusd_of_dollars(WELCOME_DOLLARS),
        category="promotional",
        source=SOURCE,
        ext_ref=account_id,
        by="tollway up",
        reason="welcome credit",
    )
    subject = subjects.credit(subjects.journal_of(account_id))
    give_up = clock.monotonic_s() + GRANT_WITHIN_S
    while True:
        reply = await bus.ask(subject, grant, CreditGranted, timeout_s=ASK_TIMEOUT_S)
        if not isinstance(reply, Refusal):
            return
        if not reply.rule.is_retryable or clock.monotonic_s() > give_up:
            raise CommandError(f"The ledger did not grant the welcome credit: {reply.message}")
        await asyncio.sleep(ASK_AGAIN_S)
