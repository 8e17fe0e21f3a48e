"""Facts end holds: what was used is charged, the rest goes back, and nothing is charged twice."""

import pytest

from tests.ledger.story import ACCOUNT, DOLLAR, PRICE, TOKEN, Story, attempt, ev, extend, kinds, void
from tollway.ledger.charges import IS_CHARGED, UNRECOVERED_NUSD_MIN, is_abused
from tollway.ledger.deciding.unheard import HOLD_GRACE_MS, ExpireHold
from tollway.wire.credit import UpdateAccount
from tollway.wire.pricing import OVERRUN_NUSD_MIN, charge_nusd, overrun_max
from tollway.wire.usage import Outcome, Usage

EXPIRED_MS = 60_000 + HOLD_GRACE_MS


def test_a_settlement_charges_what_was_used_and_releases_the_rest() -> None:
    story = Story().with_credit(DOLLAR).with_hold(amount=1_000_000)
    (event,) = story.must(story.fact(tokens=100))
    assert (event.charged, event.released, event.cost) == (100 * TOKEN, 1_000_000 - 100 * TOKEN, 100 * TOKEN)
    assert story.balances() == (DOLLAR - 100 * TOKEN, 0, 0)


def test_the_charge_can_be_recomputed_from_the_event_alone() -> None:
    import msgspec

    from tollway.wire.pricing import charge_nusd

    story = Story().with_credit(DOLLAR).with_hold(amount=1_000_000)
    (event,) = story.must(story.fact(tokens=77))
    report = msgspec.json.decode(event.report, type=ev.Report)
    assert event.cost == charge_nusd(report.usage, report.price, is_managed=report.is_managed)
    assert event.charged + event.written_off == event.cost
    assert (report.certainty, report.price_version) == ("reported", "v1")


def test_searches_are_charged_at_the_price_in_the_fact_and_stand_in_the_record() -> None:
    import msgspec

    story = Story().with_credit(DOLLAR).with_hold(amount=50_000_000)
    price = msgspec.structs.replace(PRICE, per_search=10_000_000)
    (event,) = story.must(story.fact(usage=Usage(60, 40, searches=2), price=price))
    tokens_alone = story.fact(usage=Usage(60, 40), price=price)
    assert event.charged == charge_nusd(tokens_alone.usage, price, is_managed=True) + 2 * 10_000_000
    assert msgspec.json.decode(event.report, type=ev.Report).usage.searches == 2


def test_a_settlement_without_searches_is_written_as_it_always_was() -> None:
    story = Story().with_credit(DOLLAR).with_hold(amount=1_000_000)
    (event,) = story.must(story.fact(tokens=100))
    assert b"search" not in bytes(event.report)


def test_on_the_customers_own_key_only_the_fee_is_charged() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    (event,) = story.must(story.fact(tokens=1000, is_managed=False))
    assert event.charged == 1000 * 50


@pytest.mark.parametrize("outcome", list(IS_CHARGED))
def test_every_way_to_end_charges_as_the_table_says(outcome: Outcome) -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    (event,) = story.must(story.fact(tokens=10, outcome=outcome))
    if IS_CHARGED[outcome]:
        assert isinstance(event, ev.HoldSettled)
        assert event.charged == 10 * TOKEN
    else:
        assert isinstance(event, ev.HoldVoided)
        assert event.reason == outcome
        assert story.balances() == (DOLLAR, 0, 0)


def test_a_failed_requests_attempts_and_their_cost_to_the_operator_are_kept() -> None:
    import msgspec

    story = Story().with_credit(DOLLAR).with_hold()
    failed = attempt(completion="failed", is_served=False, operator_cost_nusd=7)
    (event,) = story.must(story.fact(outcome="failed_midstream", attempts=[failed]))
    assert event.operator_cost == 7
    assert msgspec.json.decode(event.report, type=ev.Report).attempts == [failed]


def test_the_same_fact_again_changes_nothing() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    fact = story.fact(tokens=100)
    story.must(fact)
    assert story.must(fact) == []
    assert story.account.charged == 100 * TOKEN


def test_another_fact_for_the_same_hold_is_kept_for_audit_once_and_charges_nothing() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.must(story.fact(tokens=100))
    (event,) = story.must(story.fact(tokens=101))
    assert isinstance(event, ev.UsageConflicted)
    assert event.reason == "differs"
    assert event.operator_cost == 101 * TOKEN
    assert story.must(story.fact(tokens=101)) == []
    assert story.account.charged == 100 * TOKEN


def test_a_fact_of_another_account_touches_nothing() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    (event,) = story.must(story.fact(account_id="acc_b"))
    assert event.reason == "account"
    assert "rq_1" in story.state.holds


def test_a_fact_for_a_hold_that_never_was_is_kept_for_audit_and_the_id_is_spent() -> None:
    story = Story().with_credit(DOLLAR)
    (event,) = story.must(story.fact("rq_never"))
    assert event.reason == "unknown"
    assert story.must(story.fact("rq_never")) == []
    assert story.refused(story.open("rq_never")).code == "hold_conflict"


# -- answers that break midway


def broken(story: Story, hold: str, cost: int) -> list[object]:
    """A hold whose answer broke after content; the provider billed the operator for it."""
    story.with_hold(hold)
    failed = attempt(completion="stream_failed", operator_cost_nusd=cost)
    return story.must(story.fact(hold, tokens=10, outcome="failed_midstream", attempts=[failed]))


def test_an_account_may_agree_to_pay_for_what_broken_answers_delivered() -> None:
    story = Story().with_credit(DOLLAR)
    story.must(UpdateAccount(ACCOUNT, "active", "operator", "u1", is_delivery_charged=True))
    (event,) = broken(story, "rq_1", 0)
    assert isinstance(event, ev.HoldSettled)
    assert event.charged == 10 * TOKEN
    story.must(UpdateAccount(ACCOUNT, "active", "operator", "u2", is_delivery_charged=False))
    assert kinds(broken(story, "rq_2", 0)) == [ev.HoldVoided]
    story.must(UpdateAccount(ACCOUNT, "active", "operator", "u3"))
    assert kinds(broken(story, "rq_3", 0)) == [ev.HoldVoided]


def test_an_account_that_costs_its_operator_too_much_pays_for_broken_answers() -> None:
    story = Story().with_credit(DOLLAR)
    assert kinds(broken(story, "rq_1", UNRECOVERED_NUSD_MIN)) == [ev.HoldVoided]
    assert kinds(broken(story, "rq_2", 1)) == [ev.HoldVoided], "at the limit, not above it"
    assert kinds(broken(story, "rq_3", 0)) == [ev.HoldSettled]
    assert story.account.unrecovered == UNRECOVERED_NUSD_MIN + 1


def test_a_good_customer_is_forgiven_more() -> None:
    assert is_abused(unrecovered=6 * DOLLAR, charged=29 * DOLLAR)
    assert not is_abused(unrecovered=6 * DOLLAR, charged=30 * DOLLAR)


# -- more than was held


def test_an_overrun_within_its_cap_comes_from_free_credit() -> None:
    story = Story().with_credit(DOLLAR).with_hold(amount=100 * TOKEN)
    (event,) = story.must(story.fact(tokens=101))
    assert (event.charged, event.overrun, event.debt, event.written_off) == (101 * TOKEN, TOKEN, 0, 0)
    assert story.balances() == (DOLLAR - 101 * TOKEN, 0, 0)


def test_an_overrun_without_free_credit_is_owed() -> None:
    story = Story().with_credit(100 * TOKEN).with_hold(amount=100 * TOKEN)
    (event,) = story.must(story.fact(tokens=102))
    assert event.debt == 2 * TOKEN
    assert story.balances() == (0, 0, 2 * TOKEN)


def test_what_exceeds_the_cap_is_written_off_so_that_no_provider_can_empty_an_account() -> None:
    story = Story().with_credit(DOLLAR).with_hold(amount=1_000_000)
    (event,) = story.must(story.fact(tokens=100_000))
    assert event.charged == 1_000_000 + OVERRUN_NUSD_MIN
    assert event.written_off == 100_000 * TOKEN - event.charged
    assert story.balances() == (DOLLAR - event.charged, 0, 0)


def test_the_cap_is_five_percent_of_a_large_hold() -> None:
    assert overrun_max(DOLLAR) == DOLLAR // 20
    assert overrun_max(1) == OVERRUN_NUSD_MIN


def test_an_extended_hold_settles_from_all_of_its_slices() -> None:
    story = Story().with_credit(1000 * TOKEN).with_hold(amount=10 * TOKEN)
    story.must(extend(1, 20 * TOKEN))
    (event,) = story.must(story.fact(tokens=25))
    assert (event.charged, event.released, event.overrun) == (25 * TOKEN, 5 * TOKEN, 0)


# -- figures that cannot be true


@pytest.mark.parametrize(
    "usage",
    [
        Usage(-1, 5),
        Usage(5, -5),
        Usage(2**63, 1),
        Usage(1, 2**80),
        Usage(1, 1, tokens_cache_read=-3),
        Usage(1, 1, searches=-1),
        Usage(1, 1, searches=1_000_001),
    ],
    ids=str,
)
def test_absurd_usage_is_not_charged_and_is_marked(usage: Usage) -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    (event,) = story.must(story.fact(usage=usage))
    assert event.is_absurd
    assert event.charged == 0
    assert story.balances() == (DOLLAR, 0, 0)


def test_unknown_usage_is_not_zero_usage_in_the_record() -> None:
    import msgspec

    story = Story().with_credit(DOLLAR).with_hold()
    (event,) = story.must(story.fact(tokens=None, certainty="estimated"))
    assert b"tokens_output" not in bytes(event.report)
    assert msgspec.json.decode(event.report, type=ev.Report).usage.tokens_output is None


# -- late and lost facts


def test_a_hold_expires_after_its_deadline_and_grace_not_before() -> None:
    story = Story().with_credit(DOLLAR).with_hold(amount=500)
    assert story.later(EXPIRED_MS - 1).must(ExpireHold("rq_1")) == []
    (event,) = story.later(1).must(ExpireHold("rq_1"))
    assert isinstance(event, ev.HoldExpired)
    assert story.balances() == (DOLLAR, 0, 0)


def test_a_fact_after_expiry_is_settled_late_once() -> None:
    story = Story().with_credit(DOLLAR).with_hold(amount=500_000)
    story.later(EXPIRED_MS).must(ExpireHold("rq_1"))
    fact = story.fact(tokens=100)
    (event,) = story.must(fact)
    assert isinstance(event, ev.HoldSettledLate)
    assert story.balances() == (DOLLAR - 100 * TOKEN, 0, 0)
    assert story.must(fact) == []
    assert kinds(story.must(story.fact(tokens=5))) == [ev.UsageConflicted]


def test_a_late_fact_on_an_empty_account_is_owed() -> None:
    story = Story().with_credit(100 * TOKEN).with_hold(amount=100 * TOKEN)
    story.later(EXPIRED_MS).must(ExpireHold("rq_1"))
    story.with_hold("rq_2", amount=100 * TOKEN)
    (event,) = story.must(story.fact("rq_1", tokens=60))
    assert (event.charged, event.debt) == (60 * TOKEN, 60 * TOKEN)
    story.must(void("rq_2"))
    assert story.balances() == (40 * TOKEN, 0, 0)


def test_a_late_fact_of_a_failed_request_charges_nothing() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.later(EXPIRED_MS).must(ExpireHold("rq_1"))
    (event,) = story.must(story.fact(outcome="failed_midstream"))
    assert event.charged == 0


def test_a_gateway_failure_that_ingress_saw_gives_the_credit_back_at_once() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    assert kinds(story.must(story.witness(outcome="gateway_failed"))) == [ev.HoldVoided]
    assert story.balances() == (DOLLAR, 0, 0)
    (event,) = story.must(story.fact(tokens=100))
    assert (event.reason, event.operator_cost) == ("voided", 100 * TOKEN)
    assert story.account.charged == 0


def test_what_ingress_saw_of_a_served_request_waits_for_the_fact() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.must(story.witness(outcome="complete"))
    assert story.must(story.witness(outcome="complete")) == []
    (event,) = story.must(story.fact(tokens=100))
    assert event.charged == 100 * TOKEN


@pytest.mark.parametrize("outcome", ["complete", "client_aborted"])
def test_without_a_fact_a_witnessed_request_is_charged_as_an_estimate(outcome: Outcome) -> None:
    import msgspec

    story = Story().with_credit(DOLLAR).with_hold()
    story.must(story.witness(outcome=outcome, bytes_out=401, tokens_input_estimate=10))
    (event,) = story.later(EXPIRED_MS).must(ExpireHold("rq_1"))
    report = msgspec.json.decode(event.report, type=ev.Report)
    assert (report.certainty, report.outcome) == ("estimated", outcome)
    assert report.usage == Usage(10, 101)
    assert event.charged == 111 * TOKEN
    assert [a.is_served for a in report.attempts] == [True]


def test_a_witness_of_a_request_that_failed_charges_nothing() -> None:
    story = Story().with_credit(DOLLAR).with_hold()
    story.must(story.witness(outcome="failed_midstream"))
    assert kinds(story.later(EXPIRED_MS).must(ExpireHold("rq_1"))) == [ev.HoldExpired]


def test_a_witness_without_a_hold_is_nothing() -> None:
    story = Story().with_credit(DOLLAR)
    assert story.must(story.witness("rq_none")) == []


def test_the_price_that_counts_is_the_one_of_the_fact() -> None:
    story = Story().with_credit(DOLLAR).with_hold(price_version="v1")
    dearer = type(PRICE)(input=0, output=2_000_000_000)
    (event,) = story.must(story.fact(tokens=10, price=dearer, price_version="v1"))
    assert event.charged == 10 * 2_050
