"""Lots expire as events, the rest of them that nobody holds; what is held expires when it comes back."""

from tests.ledger.story import ACCOUNT, DAY_MS, T0, TOKEN, Story, ev, grant, kinds, reverse, void
from tollway.ledger.deciding.credit import ExpireLot
from tollway.ledger.spend import KeySpend, day_ends_in_s, month_ends_in_s, month_of

EXPIRES = T0 + DAY_MS


def expire(lot: str = "lot_1") -> ExpireLot:
    return ExpireLot(ACCOUNT, lot)


def expiring(amount: int) -> Story:
    return Story().with_credit(amount, expires_at_ms=EXPIRES)


def test_a_lot_expires_after_its_time_not_before() -> None:
    story = expiring(500)
    assert story.later(DAY_MS).must(expire()) == []
    (event,) = story.later(1).must(expire())
    assert (event.lot, event.amount) == ("lot_1", 500)
    assert story.balances() == (0, 0, 0)
    assert story.must(expire()) == []


def test_expiry_is_an_event_and_never_a_reading() -> None:
    story = expiring(500).later(10 * DAY_MS)
    assert story.account.available == 500
    story.must(story.open(amount=500))


def test_only_what_nobody_holds_expires() -> None:
    story = expiring(500).with_hold(amount=200, hold_deadline_ms=T0 + 9 * DAY_MS)
    (event,) = story.later(DAY_MS + 1).must(expire())
    assert event.amount == 300
    assert story.balances() == (0, 200, 0)


def test_what_comes_back_to_an_expired_lot_expires_in_the_same_block() -> None:
    story = expiring(500).with_hold(amount=200, hold_deadline_ms=T0 + 9 * DAY_MS)
    story.later(DAY_MS + 1).must(expire())
    events = story.must(void())
    assert kinds(events) == [ev.HoldVoided, ev.LotExpired]
    assert events[1].amount == 200
    assert story.balances() == (0, 0, 0)
    assert story.account.lots == []


def test_a_hold_taken_before_expiry_is_settled_from_its_lot() -> None:
    story = expiring(500 * TOKEN).with_hold(amount=200 * TOKEN, hold_deadline_ms=T0 + 9 * DAY_MS)
    story.later(DAY_MS + 1).must(expire())
    events = story.must(story.fact(tokens=150))
    assert (events[0].charged, events[0].overrun) == (150 * TOKEN, 0)
    assert events[1].amount == 50 * TOKEN
    assert story.account.expired == 350 * TOKEN


def test_no_hold_opened_after_expiry_uses_the_lot() -> None:
    story = expiring(500).with_hold(amount=200, hold_deadline_ms=T0 + 9 * DAY_MS)
    story.must(grant(50, ext_ref="b"))
    story.later(DAY_MS + 1).must(expire())
    assert story.must(story.open("rq_2", 50))[0].lots == [("lot_2", 50)]
    assert story.refused(story.open("rq_3", 1)).code == "insufficient_credits"


def test_debt_is_repaid_from_lots_that_live_not_from_those_that_expired() -> None:
    story = expiring(500)
    story.must(grant(300, ext_ref="b"))
    story.with_hold(amount=800, hold_deadline_ms=T0 + 9 * DAY_MS)
    story.later(DAY_MS + 1).must(expire())
    story.must(reverse("b", 300))
    events = story.must(void())
    assert kinds(events) == [ev.HoldVoided, ev.LotExpired, ev.DebtRepaid]
    assert events[2].lots == [("lot_2", 300)]
    assert story.balances() == (0, 0, 0)


def test_ended_holds_are_forgotten_after_the_window_and_replay_forgets_the_same() -> None:
    story = Story().with_credit().with_hold()
    story.must(story.fact())
    assert story.state.ended("rq_1") is not None
    story.later(10 * 60_000).must(grant(1, ext_ref="x"))
    assert story.state.ended("rq_1") is not None
    story.later(10 * 60_000).must(grant(1, ext_ref="y"))
    assert story.state.ended("rq_1") is None


def test_expired_holds_wait_thirty_days_for_a_late_fact() -> None:
    from tollway.ledger.deciding.unheard import ExpireHold

    story = Story().with_credit().with_hold()
    story.later(120_000).must(ExpireHold("rq_1"))
    story.later(29 * DAY_MS).must(grant(1, ext_ref="x"))
    assert "rq_1" in story.state.expired
    story.later(2 * DAY_MS).must(grant(1, ext_ref="y"))
    assert "rq_1" not in story.state.expired


def test_months_are_civil_months() -> None:
    from datetime import UTC, datetime, timedelta

    day, epoch = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
    while day.year < 2105:
        number = (day - epoch).days
        assert month_of(number) == (day.year - 1970) * 12 + day.month - 1, day
        day += timedelta(days=1)


def test_a_day_and_a_month_end_where_they_end() -> None:
    assert day_ends_in_s(0) == 86_400
    assert day_ends_in_s(86_399_999) == 1
    assert month_ends_in_s(0) == 31 * 86_400
    assert month_ends_in_s(30 * DAY_MS) == 86_400


def test_spend_of_another_month_does_not_count() -> None:
    spend = KeySpend()
    spend.add(5, 0)
    spend.add(6, 40 * DAY_MS)
    assert (spend.today(40 * DAY_MS), spend.this_month(40 * DAY_MS)) == (6, 6)
    spend.add(7, 41 * DAY_MS)
    assert (spend.today(41 * DAY_MS), spend.this_month(41 * DAY_MS)) == (7, 13)
