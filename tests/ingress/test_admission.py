"""Who is let in when."""

from hypothesis import given
from hypothesis import strategies as st

from tollway.ingress.admission import Admission, is_listed, may_come_from
from tollway.wire.access import KeyLimits, Principal

FREE = Principal("ac_1", "aigk_1", 1)


def limited(**limits: object) -> Principal:
    return Principal("ac_1", "aigk_1", 1, limits=KeyLimits(**limits))  # type: ignore[arg-type]


def test_a_key_without_limits_is_always_let_in() -> None:
    admission = Admission()
    assert all(admission.knock(FREE, 0.0) is None for _ in range(1_000))


def test_requests_per_minute_are_counted_and_refill_steadily() -> None:
    admission, principal = Admission(), limited(requests_per_minute=60)
    assert sum(admission.knock(principal, 100.0) is None for _ in range(100)) == 60
    refusal = admission.knock(principal, 100.0)
    assert refusal is not None
    assert (refusal.code, refusal.retry_after_s) == ("rate_limited", 2)
    assert admission.knock(principal, 101.1) is None
    assert admission.knock(principal, 101.1) is not None


def test_tokens_per_minute_are_weighed_and_one_larger_than_the_limit_passes_when_nothing_else_did() -> None:
    admission, principal = Admission(), limited(tokens_per_minute=1_000)
    assert admission.weigh(principal, 5_000, 0.0) is None
    assert admission.weigh(principal, 1, 0.0) is not None
    assert admission.weigh(principal, 1, 300.0) is None


@given(
    now_s=st.floats(0, 1e9),
    per_minute=st.integers(1, 10**9),
    tokens=st.integers(1, 10**9),
)
def test_a_key_that_asked_for_nothing_yet_may_ask_at_any_hour(now_s: float, per_minute: int, tokens: int) -> None:
    admission = Admission()
    assert admission.weigh(limited(tokens_per_minute=per_minute), tokens, now_s) is None


@given(now_s=st.floats(0, 1e9), per_minute=st.integers(1, 300))
def test_the_whole_limit_fits_into_one_moment_and_no_more(now_s: float, per_minute: int) -> None:
    admission, principal = Admission(), limited(requests_per_minute=per_minute)
    assert all(admission.knock(principal, now_s) is None for _ in range(per_minute))
    assert admission.knock(principal, now_s) is not None


def test_a_refused_request_uses_nothing_up() -> None:
    admission, principal = Admission(), limited(requests_per_minute=1)
    assert admission.knock(principal, 0.0) is None
    for _ in range(10):
        assert admission.knock(principal, 1.0) is not None
    assert admission.knock(principal, 60.1) is None


def test_a_key_may_be_bound_to_addresses() -> None:
    principal = limited(addresses=("10.0.0.0/8", "::1"))
    assert all(may_come_from(client, principal) for client in ("10.1.2.3", "::1", "::ffff:10.1.2.3"))
    assert not any(may_come_from(client, principal) for client in ("192.168.0.1", "::ffff:192.168.0.1", "::2", ""))
    assert may_come_from("192.168.0.1", FREE)
    assert not is_listed("not an address", ("0.0.0.0/0",))


def test_when_the_house_is_half_full_an_account_has_its_even_share() -> None:
    admission, other = Admission(in_flight_max=8), Principal("ac_2", "aigk_2", 1)
    for _ in range(4):
        admission.enter("ac_1")
    refusal = admission.knock(FREE, 0.0)
    assert refusal is not None
    assert refusal.code == "rate_limited"
    assert admission.knock(other, 0.0) is None
    for _ in range(4):
        admission.leave("ac_1")
    assert admission.knock(FREE, 0.0) is None
    assert admission.in_flight == 0


def test_a_full_house_refuses_everybody_at_once() -> None:
    admission = Admission(in_flight_max=1)
    admission.enter("ac_2")
    refusal = admission.knock(FREE, 0.0)
    assert refusal is not None
    assert (refusal.code, refusal.retry_after_s) == ("gateway_unavailable", 1)
