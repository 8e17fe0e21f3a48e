"""Credit is never overspent, whatever happens at the same moment, and a stream that outlives it ends cleanly."""

from collections import Counter

from tests.faults.checker import books_of, settle_down
from tests.faults.house import House, Wallet
from tests.faults.load import Ask, Try, attempt_once, together

AFFORDABLE = 37
AT_ONCE = 500
TOKENS_OUT = 100
NUSD_PER_TOKEN_IN, NUSD_PER_TOKEN_OUT = 1_050, 2_050
"""The simulator's prices and the fee."""
CENT = 10_000_000


def wallet_with(house: House, amount_nusd: int) -> Wallet:
    """An account with so much credit to the nano-dollar."""
    wallet = house.wallet(cents=1)
    house.adjust(wallet.account_id, amount_nusd - CENT, idem="exact")
    return wallet


def hold_of(house: House, wallet: Wallet, ask: Ask) -> int:
    """What is set aside for a request like this."""
    tried = attempt_once(house.base_url, wallet, ask)
    assert tried.ending == "complete", tried
    return books_of(house).opened[tried.request_id]


def same_size(tokens_in: int) -> Ask:
    """A request that claims so many input tokens; texts of all have one length."""
    model = f"simulator:echo;in={tokens_in:06d};out={TOKENS_OUT}"
    return Ask(model, max_tokens=TOKENS_OUT, tokens_input=20, tries_max=1)


def test_of_500_concurrent_requests_on_credit_for_37_exactly_37_are_served(house: House) -> None:
    amount = hold_of(house, house.wallet(), same_size(1))
    tokens_in, rest = divmod(amount - TOKENS_OUT * NUSD_PER_TOKEN_OUT, NUSD_PER_TOKEN_IN)
    assert rest == 0
    wallet = wallet_with(house, AFFORDABLE * amount)
    tries = together(house.base_url, wallet, [same_size(tokens_in)] * AT_ONCE)
    found = Counter((tried.ending, tried.status) for tried in tries)
    assert found["complete", 200] == AFFORDABLE
    assert found["refused", 403] + found["refused", 503] == AT_ONCE - AFFORDABLE  # 503: a crowded machine shed them
    assert found["refused", 403] > 0
    books = settle_down(house, [wallet])
    assert books.breaches == []
    charged = [settled.charged for settled in books.settled.values() if settled.account == wallet.account_id]
    assert charged == [amount] * AFFORDABLE
    assert {tried.receipt_nusd for tried in tries if tried.ending == "complete"} == {amount}
    account = books.accounts[wallet.account_id]
    assert (account.available, account.held, account.debt) == (0, 0, 0)


def test_a_refusal_for_want_of_credit_reaches_no_provider_and_leaves_no_trace_in_the_log(house: House) -> None:
    wallet = wallet_with(house, 1_000)
    before, served = books_of(house).events, len(house.tally())
    tries = together(house.base_url, wallet, [Ask(tries_max=1)] * 20)
    assert {(tried.ending, tried.status) for tried in tries} == {("refused", 403)}
    assert (books_of(house).events, len(house.tally())) == (before, served)


def test_a_stream_that_outlives_its_credit_ends_well_formed_and_is_charged_within_its_hold(house: House) -> None:
    long = Ask("simulator:echo;size=60000;chunks=600;delay=2", is_stream=True, max_tokens=16_000, tries_max=1)
    first_slice = hold_of(house, house.wallet(), long)
    wallet = wallet_with(house, first_slice + first_slice // 4)
    tried: Try = attempt_once(house.base_url, wallet, long)
    assert tried.ending == "complete", tried.ending
    assert b'"finish_reason":"length"' in tried.data
    assert b"tollway-stop=insufficient_credits" in tried.data
    books = settle_down(house, [wallet])
    settled = books.settled[tried.request_id]
    assert settled.outcome == "credit_exhausted"
    assert 0 < settled.charged == tried.receipt_nusd <= first_slice
    assert books.breaches == []
    assert books.accounts[wallet.account_id].available >= 0
