"""Somebody who wants free tokens, and somebody who wants to be charged twice: neither gets it.

What facts, holds and payments can be made to say, in whatever order, and what the books make of it.
"""

import pytest

from tests.ledger.story import (
    ACCOUNT,
    DAY_MS,
    DOLLAR,
    T0,
    TOKEN,
    Story,
    adjust,
    attempt,
    ev,
    extend,
    grant,
    kinds,
    reverse,
    void,
)
from tollway.ledger import spend
from tollway.ledger.age import AGE_MS_MAX, AHEAD_MS_MAX, is_fresh, ulid_floor
from tollway.ledger.charges import AMOUNT_NUSD_MAX, IS_CHARGED, UNRECOVERED_NUSD_MIN
from tollway.ledger.deciding.credit import ExpireLot
from tollway.ledger.deciding.unheard import HOLD_GRACE_MS, ExpireHold
from tollway.ledger.state import CLOSED_WINDOW_MS
from tollway.wire.credit import UpdateAccount
from tollway.wire.money import NUSD_MAX
from tollway.wire.plan import Price
from tollway.wire.pricing import OVERRUN_NUSD_MIN
from tollway.wire.usage import Outcome, Usage

EXPIRED_MS = 60_000 + HOLD_GRACE_MS


# -- more money than there can be


def test_grants_never_make_a_balance_that_a_database_cannot_hold() -> None:
    story = Story()
    for n in range(64):
        story.must(grant(AMOUNT_NUSD_MAX, ext_ref=f"p{n}"))
    assert story.account.available <= NUSD_MAX
    assert story.refused(grant(AMOUNT_NUSD_MAX, ext_ref="p64")).code == "invalid_amount"
    assert story.refused(adjust(AMOUNT_NUSD_MAX)).code == "invalid_amount"


def test_what_is_held_counts_for_the_largest_balance_too() -> None:
    story = Story()
    for n in range(64):
        story.must(grant(AMOUNT_NUSD_MAX, ext_ref=f"p{n}"))
    story.must(story.open(amount=AMOUNT_NUSD_MAX))
    assert story.refused(grant(AMOUNT_NUSD_MAX, ext_ref="p64")).code == "invalid_amount"


def test_adjustments_never_make_a_debt_that_a_database_cannot_hold() -> None:
    story = Story().with_credit(AMOUNT_NUSD_MAX)
    story.must(adjust(-AMOUNT_NUSD_MAX, "i"))
    for n in range(64):
        story.must(adjust(-AMOUNT_NUSD_MAX, f"i{n}"))
    assert story.refused(adjust(-AMOUNT_NUSD_MAX, "i64")).code == "invalid_amount"
    assert story.account.debt <= NUSD_MAX


def test_a_cost_that_no_request_can_have_is_absurd_and_not_charged() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    dear = Price(input=2**62, output=2**62)
    (event,) = story.must(story.fact(tokens=1_000_000_000, price=dear))
    assert (event.is_absurd, event.charged, event.cost) == (True, 0, 0)


def test_a_fact_that_claims_boundless_operator_cost_is_bounded() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    failed = attempt(is_served=False, operator_cost_nusd=2**70)
    (event,) = story.must(story.fact(outcome="failed_midstream", attempts=[failed]))
    assert event.operator_cost == AMOUNT_NUSD_MAX


# -- the same id for two things


def test_a_status_and_an_adjustment_may_have_the_same_reference() -> None:
    story = Story().with_credit(DOLLAR)
    story.must(adjust(7, "T-1"))
    assert kinds(story.must(UpdateAccount(ACCOUNT, "suspended", "operator", "T-1"))) == [ev.AccountUpdated]
    assert story.refused(story.open()).code == "forbidden"
    story.must(UpdateAccount(ACCOUNT, "active", "operator", "T-2"))
    story.must(adjust(8, "T-2"))
    assert story.account.available == DOLLAR + 15


def test_a_hold_of_anothers_id_is_neither_extended_nor_voided_nor_told() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.must(grant(DOLLAR, account_id="acc_b"))
    other = {"account_id": "acc_b"}
    assert story.refused(story.open(amount=1_000_000, **other)).code == "hold_conflict"
    assert story.refused(type(void())("rq_1", "acc_b", "mine")).code == "hold_unknown"
    assert story.refused(type(extend(1, 1))("rq_1", "acc_b", 1, 1)).code == "hold_unknown"
    story.must(story.fact(tokens=100))
    assert story.refused(type(void())("rq_1", "acc_b", "mine")).code == "hold_unknown", "not even what it was charged"


@pytest.mark.parametrize("ahead_ms", [0, AHEAD_MS_MAX - 1_000])
@pytest.mark.parametrize("into_window_ms", [0, 1, 999, CLOSED_WINDOW_MS - 1])
def test_memory_outlives_every_id_that_may_still_be_opened(ahead_ms: int, into_window_ms: int) -> None:
    """An id from the future is opened, ended, and asked for again at the last moment at which it counts as new."""
    now = T0 // CLOSED_WINDOW_MS * CLOSED_WINDOW_MS + into_window_ms
    story = Story(now).with_credit(DOLLAR)
    hold = made_at(now + ahead_ms)
    assert is_fresh(hold, now_ms=now, epoch_ms=0) is None
    story.with_hold(hold)
    story.must(story.fact(hold))
    for wait_ms in range(AGE_MS_MAX + ahead_ms - 1_000, AGE_MS_MAX + ahead_ms + 2_000, 250):
        then = now + wait_ms
        if is_fresh(hold, now_ms=then, epoch_ms=0) is None:
            story.now = then
            story.must(adjust(1, f"t{wait_ms}"))  # time goes on in the journal
            assert story.refused(story.open(hold)).code == "hold_conflict"


def made_at(ms: int) -> str:
    """A hold's id made at this time."""
    return f"rq_{ulid_floor(ms)}{'0' * 16}"


# -- facts in every order


@pytest.mark.parametrize("outcome", list(IS_CHARGED))
@pytest.mark.parametrize("when", ["in time", "late"])
@pytest.mark.parametrize("tokens", [0, 60, 100, 104, 50_000], ids=lambda n: f"{n}_of_100_tokens")
def test_every_ending_charges_once_and_at_most_hold_and_cap(outcome: Outcome, when: str, tokens: int) -> None:
    amount = 100 * TOKEN
    story = Story().with_credit(DOLLAR).with_hold(amount=amount)
    if when == "late":
        story.later(EXPIRED_MS).must(ExpireHold("rq_1"))
    fact = story.fact(tokens=tokens, outcome=outcome)
    (event,) = story.must(fact)
    expected = min(tokens * TOKEN, amount + OVERRUN_NUSD_MIN) if IS_CHARGED[outcome] else 0
    assert story.account.charged == expected
    assert story.balances() == (DOLLAR - expected, 0, 0)
    for _ in range(3):
        assert story.must(fact) == []
    other = story.must(story.fact(tokens=tokens + 1, outcome="complete"))
    assert kinds(other) == [ev.UsageConflicted]
    assert story.account.charged == expected, event


@pytest.mark.parametrize("first", list(IS_CHARGED))
@pytest.mark.parametrize("second", list(IS_CHARGED))
def test_of_two_different_facts_the_first_alone_counts(first: Outcome, second: Outcome) -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.must(story.fact(tokens=10, outcome=first))
    charged = story.account.charged
    events = story.must(story.fact(tokens=20, outcome=second))
    assert kinds(events) == [ev.UsageConflicted]
    assert story.account.charged == charged
    assert story.must(story.fact(tokens=20, outcome=second)) == []


def test_a_witness_after_its_fact_and_a_fact_after_its_witness_charge_once() -> None:
    story = Story().with_credit(DOLLAR).with_hold("rq_1").with_hold("rq_2")
    story.must(story.fact("rq_1", tokens=10))
    assert story.must(story.witness("rq_1", "gateway_failed")) == []
    story.must(story.witness("rq_2"))
    story.later(EXPIRED_MS).must(ExpireHold("rq_2"))
    charged = story.account.charged
    assert kinds(story.must(story.fact("rq_2", tokens=10))) == [ev.UsageConflicted]
    assert story.must(story.witness("rq_2", "gateway_failed")) == []
    assert story.account.charged == charged


def test_a_witness_cannot_be_turned_into_a_refund_of_what_was_served() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.must(story.witness(outcome="complete"))
    assert story.must(story.witness(outcome="gateway_failed")) == []
    story.later(EXPIRED_MS).must(ExpireHold("rq_1"))
    assert story.account.charged > 0


@pytest.mark.parametrize("usage", [Usage(-5, -5), Usage(2**64, 0), Usage(0, 2**63)], ids=str)
def test_a_witness_with_impossible_figures_charges_nothing_and_ends_the_hold(usage: Usage) -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    assert usage.tokens_input is not None
    assert usage.tokens_output is not None
    story.must(story.witness(tokens_input_estimate=usage.tokens_input, bytes_out=usage.tokens_output * 4))
    (event,) = story.later(EXPIRED_MS).must(ExpireHold("rq_1"))
    assert event.is_absurd
    assert story.balances() == (DOLLAR, 0, 0)


def test_facts_of_accounts_and_holds_nobody_knows_move_no_money_and_open_no_account() -> None:
    story = Story().with_credit(DOLLAR)
    story.must(story.fact("rq_never", account_id="acc_nobody"))
    story.must(story.witness("rq_never", account_id="acc_nobody"))
    assert set(story.state.accounts) == {ACCOUNT}
    assert story.balances() == (DOLLAR, 0, 0)


# -- broken answers


def test_what_a_broken_answer_was_charged_for_is_not_counted_as_lost_besides() -> None:
    story = Story().with_credit(DOLLAR)
    story.must(UpdateAccount(ACCOUNT, "active", "operator", "u1", is_delivery_charged=True))
    story.with_hold()
    served = attempt(completion="stream_failed", operator_cost_nusd=9 * TOKEN)
    before = attempt(completion="failed", is_served=False, operator_cost_nusd=5)
    (event,) = story.must(story.fact(tokens=10, outcome="failed_midstream", attempts=[before, served]))
    assert event.charged == 10 * TOKEN
    assert event.operator_cost == 5
    assert story.account.unrecovered == 5


def test_who_pays_for_broken_answers_gets_out_of_it_by_paying() -> None:
    story = Story().with_credit(40 * DOLLAR).with_hold(amount=DOLLAR)
    lost = attempt(completion="stream_failed", operator_cost_nusd=UNRECOVERED_NUSD_MIN + 1)
    assert kinds(story.must(story.fact(outcome="failed_midstream", attempts=[lost]))) == [ev.HoldVoided]
    for n in range(2, 28):
        story.with_hold(f"rq_{n}", amount=DOLLAR)
        paid = attempt(completion="stream_failed", operator_cost_nusd=DOLLAR)
        story.must(story.fact(f"rq_{n}", tokens=DOLLAR // TOKEN, outcome="failed_midstream", attempts=[paid]))
    assert story.account.charged > 25 * DOLLAR
    story.with_hold("rq_last", amount=DOLLAR)
    assert kinds(story.must(story.fact("rq_last", tokens=1, outcome="failed_midstream"))) == [ev.HoldVoided]


# -- limits of a key


def test_many_holds_at_once_cannot_pass_a_keys_limit_that_one_could_not() -> None:
    story = Story().with_credit(DOLLAR)
    opened = [n for n in range(20) if isinstance(story.does(story.open(f"rq_{n}", 10, spend_day_max_nusd=55)), list)]
    assert len(opened) == 5


def test_a_settlement_in_a_later_day_counts_for_that_day() -> None:
    story = Story().with_credit(DOLLAR)
    story.must(story.open("rq_1", 100 * TOKEN, hold_deadline_ms=T0 + 2 * DAY_MS))
    story.later(DAY_MS).must(story.fact("rq_1", tokens=100))
    limits = {"spend_day_max_nusd": 100 * TOKEN}
    assert story.refused(story.open("rq_2", 1, **limits)).code == "rate_limited"
    story.later(DAY_MS).must(story.open("rq_2", 1, **limits))


def test_a_keys_limit_holds_while_the_clock_is_behind_the_journal() -> None:
    """A clock that was set back to yesterday gives no second day of spending."""
    key = spend.KeySpend()
    key.add(100, T0)
    assert key.today(T0 - DAY_MS) == 100
    assert key.this_month(T0 - 40 * DAY_MS) == 100
    assert (key.today(T0 + DAY_MS), key.this_month(T0 + 40 * DAY_MS)) == (0, 0)


# -- chargebacks


def test_a_chargeback_beyond_what_remains_is_owed_and_a_second_one_is_nothing() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1").with_hold(amount=600_000_000)
    story.must(reverse("p1", DOLLAR))
    assert story.balances() == (0, 600_000_000, 600_000_000)
    assert story.must(reverse("p1", DOLLAR)) == []
    assert story.refused(reverse("p1", DOLLAR - 1)).code == "duplicate_payment"
    story.must(story.fact(tokens=100_000))
    assert story.balances() == (0, 0, 100_000 * TOKEN)


def test_who_is_in_debt_opens_not_even_a_hold_of_nothing() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1").with_hold(amount=DOLLAR)
    story.must(reverse("p1", DOLLAR))
    assert story.refused(story.open("rq_2", 0)).code == "insufficient_credits"


def test_a_chargeback_before_its_purchase_is_refused_so_that_it_is_sent_again() -> None:
    story = Story()
    assert story.refused(reverse("p1", DOLLAR)).code == "resource_missing"
    story.with_credit(DOLLAR, ext_ref="p1")
    story.must(reverse("p1", DOLLAR))
    assert story.balances() == (0, 0, 0)


def test_a_purchase_that_was_charged_back_cannot_be_booked_again() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1")
    story.must(reverse("p1", DOLLAR))
    assert story.must(grant(DOLLAR, ext_ref="p1")) == []
    assert story.balances() == (0, 0, 0)


def test_a_chargeback_of_one_lot_while_it_is_held_takes_the_free_credit_of_others() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1").with_hold(amount=DOLLAR)
    story.must(grant(DOLLAR, ext_ref="p2"))
    (event,) = story.must(reverse("p1", DOLLAR))
    assert event.lots == [("lot_2", DOLLAR)]
    story.must(void())
    assert story.balances() == (DOLLAR, 0, 0)


# -- expiry during a hold


def test_a_lot_that_expires_under_a_hold_pays_for_that_hold_and_nothing_else() -> None:
    story = Story().with_credit(100 * TOKEN, expires_at_ms=T0 + 1_000).with_hold(amount=60 * TOKEN)
    story.later(2_000).must(ExpireLot(ACCOUNT, "lot_1"))
    assert story.balances() == (0, 60 * TOKEN, 0)
    assert story.refused(extend(1, 1)).code == "insufficient_credits"
    events = story.must(story.fact(tokens=50))
    assert kinds(events) == [ev.HoldSettled, ev.LotExpired]
    assert events[1].amount == 10 * TOKEN
    assert story.balances() == (0, 0, 0)


def test_an_overrun_on_an_expired_lot_is_owed_not_taken_from_it() -> None:
    story = Story().with_credit(100 * TOKEN, expires_at_ms=T0 + 1_000)
    story.with_hold("rq_1", amount=50 * TOKEN).with_hold("rq_2", amount=50 * TOKEN)
    story.later(2_000).must(ExpireLot(ACCOUNT, "lot_1"))
    (event,) = story.must(story.fact("rq_1", tokens=51))
    assert (event.overrun, event.debt, event.lots) == (TOKEN, TOKEN, [])
    assert story.balances() == (0, 50 * TOKEN, TOKEN)
