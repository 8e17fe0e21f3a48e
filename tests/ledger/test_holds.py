"""Credit is set aside before anything is called: never more than there is, each id once."""

import pytest

from tests.ledger.story import ACCOUNT, DOLLAR, KEY, T0, Story, ev, extend, grant, kinds, void
from tollway.ledger.age import is_fresh
from tollway.ledger.charges import AMOUNT_NUSD_MAX
from tollway.wire.credit import HoldEnded, HoldExtended, HoldOpened


def test_a_hold_moves_credit_from_available_to_held() -> None:
    story = Story().with_credit(DOLLAR).with_hold(amount=300)
    assert story.balances() == (DOLLAR - 300, 300, 0)
    assert story.says(story.open(amount=300)) == HoldOpened("rq_1", 300, DOLLAR - 300)


def test_an_unknown_account_has_nothing() -> None:
    refusal = Story().refused(Story().open(amount=1))
    assert refusal.code == "insufficient_credits"
    assert refusal.details == {"availableNusd": "0", "requiredNusd": "1"}


def test_a_refusal_says_what_is_there_and_what_was_needed() -> None:
    story = Story().with_credit(2 * DOLLAR)
    refusal = story.refused(story.open(amount=3 * DOLLAR))
    assert "$3 " in refusal.message
    assert "$2 " in refusal.message


def test_the_last_nano_dollar_can_be_held_and_not_one_more() -> None:
    story = Story().with_credit(1000)
    assert story.refused(story.open(amount=1001)).code == "insufficient_credits"
    story.must(story.open(amount=1000))
    assert story.refused(story.open("rq_2", 1)).code == "insufficient_credits"


def test_two_hundred_holds_on_credit_for_thirty_seven_open_thirty_seven() -> None:
    story = Story().with_credit(37 * 10)
    opened = [n for n in range(200) if isinstance(story.does(story.open(f"rq_{n}", 10)), list)]
    assert opened == list(range(37))
    for n in opened:
        story.must(story.fact(f"rq_{n}", tokens=0))
    assert story.balances() == (370, 0, 0)


def test_a_repeat_returns_the_same_decision_and_holds_once() -> None:
    story = Story().with_credit().with_hold(amount=300)
    command = story.open(amount=300)
    assert story.must(command) == []
    assert story.says(command).hold_id == "rq_1"
    assert story.account.held == 300


def test_the_same_id_for_something_else_is_a_conflict() -> None:
    story = Story().with_credit().with_hold(amount=300)
    assert story.refused(story.open(amount=301)).code == "hold_conflict"
    assert story.refused(story.open(amount=300, access_key_id="aigk_2")).code == "hold_conflict"


@pytest.mark.parametrize("end", ["settled", "voided", "expired"])
def test_an_id_that_has_ended_is_not_opened_again(end: str) -> None:
    story = Story().with_credit().with_hold(amount=300)
    command = story.open(amount=300, hold_deadline_ms=T0 + 10 * 60_000)
    if end == "settled":
        story.must(story.fact())
    elif end == "voided":
        story.must(void())
    else:
        story.later(121_000).must(expire())
    assert story.refused(command).code == "hold_conflict"


def expire(hold: str = "rq_1"):  # noqa: ANN201,RUF100
    from tollway.ledger.deciding.unheard import ExpireHold

    return ExpireHold(hold)


def test_a_command_after_its_deadline_opens_nothing() -> None:
    story = Story().with_credit()
    assert story.refused(story.open(hold_deadline_ms=story.now)).code == "hold_expired"


@pytest.mark.parametrize("amount", [-1, AMOUNT_NUSD_MAX + 1])
def test_absurd_amounts_are_refused(amount: int) -> None:
    story = Story().with_credit()
    assert story.refused(story.open(amount=amount)).code == "invalid_amount"


def test_an_extension_adds_once_by_its_number() -> None:
    story = Story().with_credit(1000).with_hold(amount=300)
    story.must(extend(1, 200))
    assert story.must(extend(1, 200)) == []
    assert story.says(extend(1, 200)) == HoldExtended("rq_1", 1, 500)
    assert story.refused(extend(3, 1)).code == "hold_conflict"
    story.must(extend(2, 100))
    assert story.balances() == (400, 600, 0)


def test_an_extension_that_credit_does_not_cover_is_refused_and_leaves_the_hold() -> None:
    story = Story().with_credit(1000).with_hold(amount=900)
    assert story.refused(extend(1, 101)).code == "insufficient_credits"
    story.must(extend(1, 100))


def test_an_extension_may_move_the_deadline() -> None:
    story = Story().with_credit(1000).with_hold(amount=900)
    story.must(extend(1, 1, hold_deadline_ms=T0 + 999_999))
    assert story.state.holds["rq_1"].deadline == T0 + 999_999


def test_an_ended_or_foreign_hold_is_not_extended() -> None:
    story = Story().with_credit().with_hold()
    story.must(story.fact())
    assert story.refused(extend(1, 1)).code == "hold_unknown"
    assert story.refused(extend(1, 1, "rq_none")).code == "hold_unknown"


def test_a_voided_hold_gives_everything_back() -> None:
    story = Story().with_credit(1000).with_hold(amount=900)
    assert kinds(story.must(void())) == [ev.HoldVoided]
    assert story.balances() == (1000, 0, 0)
    assert story.must(void()) == []
    assert story.says(void()) == HoldEnded("rq_1", 0)


def test_voiding_what_never_was_is_refused_and_what_was_settled_says_the_charge() -> None:
    story = Story().with_credit().with_hold()
    assert story.refused(void("rq_none")).code == "hold_unknown"
    story.must(story.fact(tokens=100))
    assert story.must(void()) == []
    assert story.says(void()) == HoldEnded("rq_1", 105_000)


def test_a_hold_takes_the_minimal_prefix_of_the_burn_order() -> None:
    story = Story()
    for n, amount in enumerate((100, 200, 300)):
        story.must(grant(amount, ext_ref=str(n)))
    assert story.must(story.open("rq_1", 250))[0].lots == [("lot_1", 100), ("lot_2", 150)]
    assert story.must(story.open("rq_2", 60))[0].lots == [("lot_2", 50), ("lot_3", 10)]
    story.must(void("rq_1"))
    assert story.must(story.open("rq_3", 101))[0].lots == [("lot_1", 100), ("lot_2", 1)]


# -- limits of a key


def test_a_keys_daily_limit_counts_what_is_held_and_what_was_spent() -> None:
    story = Story().with_credit()
    limits = {"spend_day_max_nusd": 1_000_000}
    story.must(story.open("rq_1", 600_000, **limits))
    refusal = story.refused(story.open("rq_2", 400_001, **limits))
    assert refusal.code == "rate_limited"
    assert refusal.retry_after_s is not None
    assert 0 < refusal.retry_after_s <= 86_400
    story.must(story.fact("rq_1", tokens=100))
    story.must(story.open("rq_2", 895_000, **limits))
    assert story.refused(story.open("rq_3", 1, **limits)).code == "rate_limited"


def test_another_key_has_its_own_limit_and_tomorrow_is_another_day() -> None:
    story = Story().with_credit()
    limits = {"spend_day_max_nusd": 105_000}
    story.must(story.open("rq_1", 105_000, **limits))
    story.must(story.fact("rq_1", tokens=100))
    assert story.refused(story.open("rq_2", 1, **limits)).code == "rate_limited"
    story.must(story.open("rq_3", 1, access_key_id="aigk_2", **limits))
    story.later(86_400_000).must(story.open("rq_4", 105_000, **limits))


def test_a_keys_monthly_limit_outlives_the_day() -> None:
    story = Story().with_credit()
    limits = {"spend_month_max_nusd": 105_000}
    story.must(story.open("rq_1", 105_000, **limits))
    story.must(story.fact("rq_1", tokens=100))
    story.later(86_400_000)
    assert story.refused(story.open("rq_2", 1, **limits)).code == "rate_limited"
    story.later(31 * 86_400_000)
    story.must(story.open("rq_3", 105_000, **limits))


def test_an_extension_respects_the_limit_its_hold_was_opened_under() -> None:
    story = Story().with_credit()
    story.must(story.open("rq_1", 100, spend_day_max_nusd=150))
    assert story.refused(extend(1, 51)).code == "rate_limited"
    story.must(extend(1, 50))


# -- ids


def test_ids_of_another_time_open_nothing() -> None:
    from tollway.ids import ulid_ms

    now = ulid_ms("rq_01JD0000000000000000000000")
    assert is_fresh("rq_01JD0000000000000000000000", now_ms=now, epoch_ms=now - 5) is None
    for hold, code in {
        "rq_01JC0000000000000000000000": "hold_expired",
        "rq_01JE0000000000000000000000": "hold_expired",
        "rq_1": "hold_expired",
    }.items():
        refusal = is_fresh(hold, now_ms=now, epoch_ms=0)
        assert refusal is not None
        assert refusal.code == code


def test_ids_from_before_the_epoch_open_nothing() -> None:
    from tollway.ids import ulid_ms

    now = ulid_ms("rq_01JD0000000000000000000000")
    refusal = is_fresh("rq_01JD0000000000000000000000", now_ms=now + 1000, epoch_ms=now + 1)
    assert refusal is not None
    assert refusal.code == "ledger_unavailable"
    assert refusal.rule.is_retryable


def test_accounts_share_nothing() -> None:
    story = Story().with_credit()
    assert story.refused(story.open(account_id="acc_other", amount=1)).code == "insufficient_credits"
    assert story.account.keys == {}
    assert (ACCOUNT, KEY) == ("acc_a", "aigk_1")
