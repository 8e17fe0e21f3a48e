"""Money comes in, once; and may be taken back."""

from tests.ledger.story import ACCOUNT, DAY_MS, DOLLAR, T0, Story, adjust, ev, grant, kinds, reverse
from tollway.ledger.charges import AMOUNT_NUSD_MAX
from tollway.ledger.deciding.credit import lot_expiry_ms
from tollway.wire.credit import Booked, CreditGranted, UpdateAccount


def test_the_first_credit_opens_the_account() -> None:
    story = Story()
    assert kinds(story.must(grant(5 * DOLLAR))) == [ev.AccountOpened, ev.CreditGranted]
    assert story.says(grant(5 * DOLLAR)) == CreditGranted("lot_1", 5 * DOLLAR, 5 * DOLLAR)


def test_a_purchase_expires_at_the_end_of_the_365th_day_after_it() -> None:
    story = Story()
    (_, lot) = story.must(grant(category="purchase"))
    assert lot.expires_at == lot_expiry_ms(T0)
    assert (lot.expires_at + 1) % DAY_MS == 0
    assert 365 * DAY_MS <= lot.expires_at - T0 < 366 * DAY_MS


def test_promotional_credit_never_expires_unless_it_says_so() -> None:
    story = Story()
    assert story.must(grant(1))[-1].expires_at is None
    assert story.must(grant(2, expires_at_ms=T0 + 5))[-1].expires_at == T0 + 5


def test_the_same_payment_counts_once_for_ever() -> None:
    story = Story().with_credit(DOLLAR)
    assert story.later(400 * DAY_MS).must(grant(DOLLAR)) == []
    assert story.says(grant(DOLLAR)).lot_id == "lot_1"
    assert story.account.available == DOLLAR


def test_the_same_payment_with_another_amount_is_refused() -> None:
    story = Story().with_credit(DOLLAR)
    assert story.refused(grant(2 * DOLLAR, ext_ref=f"pay_{DOLLAR}")).code == "duplicate_payment"


def test_accounts_may_have_the_same_references() -> None:
    story = Story().with_credit(DOLLAR)
    story.must(grant(DOLLAR, account_id="acc_other"))
    story.must(reverse(f"pay_{DOLLAR}", DOLLAR))
    assert story.state.accounts["acc_other"].available == DOLLAR


def test_the_same_reference_of_another_source_is_another_payment() -> None:
    story = Story().with_credit(DOLLAR)
    story.must(grant(DOLLAR, source="cli"))
    assert story.account.available == 2 * DOLLAR


def test_a_grant_of_nothing_or_less_or_too_much_is_refused() -> None:
    for amount in (0, -1, AMOUNT_NUSD_MAX + 1):
        assert Story().refused(grant(amount)).code == "invalid_amount"


def test_a_chargeback_takes_the_payments_own_lot_first() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1").with_credit(DOLLAR, ext_ref="p2")
    (event,) = story.must(reverse("p2", DOLLAR))
    assert event.lots == [("lot_2", DOLLAR)]
    assert story.balances() == (DOLLAR, 0, 0)
    assert story.says(reverse("p2", DOLLAR)) == Booked(DOLLAR, 0)


def test_a_chargeback_of_spent_credit_becomes_debt_and_debt_blocks_holds() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1").with_hold(amount=DOLLAR)
    story.must(story.fact(tokens=DOLLAR // 1_050))
    spent = story.account.charged
    story.must(reverse("p1", DOLLAR))
    assert story.balances() == (0, 0, spent)
    assert story.refused(story.open("rq_2", 1)).code == "insufficient_credits"


def test_new_credit_repays_debt_first() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1").with_hold(amount=DOLLAR)
    story.must(story.fact(tokens=100_000))
    story.must(reverse("p1", DOLLAR))
    debt = story.account.debt
    events = story.must(grant(DOLLAR, ext_ref="p2"))
    assert kinds(events) == [ev.CreditGranted, ev.DebtRepaid]
    assert story.balances() == (DOLLAR - debt, 0, 0)


def test_held_credit_that_comes_back_repays_debt() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1").with_hold(amount=DOLLAR)
    story.must(reverse("p1", DOLLAR))
    assert story.balances() == (0, DOLLAR, DOLLAR)
    events = story.must(story.fact(tokens=0, outcome="gateway_failed"))
    assert kinds(events) == [ev.HoldVoided, ev.DebtRepaid]
    assert story.balances() == (0, 0, 0)


def test_a_chargeback_is_booked_once() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1")
    story.must(reverse("p1", DOLLAR))
    assert story.must(reverse("p1", DOLLAR)) == []
    assert story.refused(reverse("p1", 5)).code == "duplicate_payment"
    assert story.refused(reverse("p9", 5)).code == "resource_missing"


def test_a_chargeback_of_more_than_was_paid_is_refused() -> None:
    story = Story().with_credit(DOLLAR, ext_ref="p1")
    assert story.refused(reverse("p1", DOLLAR + 1)).code == "invalid_amount"


def test_adjustments_give_and_take_once_and_say_why() -> None:
    story = Story().with_credit(DOLLAR)
    (given,) = story.must(adjust(7, "i1"))
    assert (given.reason, given.ticket, given.by) == ("goodwill", "T-1", "operator")
    assert story.must(adjust(7, "i1")) == []
    assert story.refused(adjust(8, "i1")).code == "idempotency_conflict"
    story.must(adjust(-DOLLAR - 10, "i2"))
    assert story.balances() == (0, 0, 3)


def test_a_suspended_account_opens_no_hold_and_ends_those_it_has() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.must(UpdateAccount(ACCOUNT, "suspended", "operator", "u1"))
    assert story.refused(story.open("rq_2")).code == "forbidden"
    story.must(story.fact())
    story.must(UpdateAccount(ACCOUNT, "active", "operator", "u2"))
    story.must(story.open("rq_2"))


def test_each_lot_burns_in_order_of_priority_then_expiry_then_age() -> None:
    story = Story()
    story.must(grant(10, ext_ref="a"))
    story.must(grant(10, ext_ref="b", expires_at_ms=T0 + 2 * DAY_MS))
    story.must(grant(10, ext_ref="c", expires_at_ms=T0 + 1 * DAY_MS))
    story.must(grant(10, ext_ref="d", priority=-1))
    story.must(grant(10, ext_ref="e", expires_at_ms=T0 + 1 * DAY_MS))
    (event,) = story.must(story.open(amount=45))
    assert event.lots == [("lot_4", 10), ("lot_3", 10), ("lot_5", 10), ("lot_2", 10), ("lot_1", 5)]
