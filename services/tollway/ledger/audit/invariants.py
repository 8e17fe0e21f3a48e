"""What must be true of a journal's state after every block: conservation, nothing below zero, lots add up. Pure."""

from collections.abc import Iterator

from tollway.ledger.lots import burn_key
from tollway.ledger.state import Account, State


def breaches(state: State) -> Iterator[str]:
    """Every rule that the state breaks, in words."""
    for name, account in state.accounts.items():
        for what in _of_account(account):
            yield f"account {name}: {what}"
    held = sum(account.held for account in state.accounts.values())
    if held != sum(hold.amount for hold in state.holds.values()):
        yield "open holds do not add up to what is held"
    if total := _total(state):
        yield f"money was made or lost: all sub-ledgers add up to {total} instead of 0"


def _total(state: State) -> int:
    system = state.system
    outside = system.cash_in + system.promo + system.revenue + system.breakage + system.refund + system.writeoff
    return outside + sum(account.available + account.held - account.debt for account in state.accounts.values())


def _of_account(account: Account) -> Iterator[str]:
    credit = account.purchased + account.granted + account.adjusted
    spent = account.reversed + account.charged + account.expired
    if account.available + account.held - account.debt != credit - spent:
        yield "what came in and went out is not what is there"
    if min(account.available, account.held, account.debt) < 0:
        yield "a sub-ledger is below zero"
    if account.debt and account.available:
        yield "debt was not repaid from free credit"
    yield from _of_lots(account)


def _of_lots(account: Account) -> Iterator[str]:
    if any(not 0 <= lot.reserved <= lot.remaining <= lot.amount for lot in account.lots):
        yield "a lot has more reserved than remaining, or more remaining than it was"
    if sum(lot.reserved for lot in account.lots) != account.held:
        yield "lots do not add up to what is held"
    if sum(lot.remaining for lot in account.lots) != account.available + account.held:
        yield "lots do not add up to what remains"
    if account.lots != sorted(account.lots, key=burn_key):
        yield "lots are not in burn order"
