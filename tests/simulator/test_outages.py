"""What makes a model behave otherwise than its name says; no sockets, and the clock is a number."""

import pytest

from tollway.simulator.options import Options, Spec, read_model
from tollway.simulator.outages import Outage, Outages, outage


def named(model: str) -> Spec:
    spec = read_model(model)
    assert isinstance(spec, Spec)
    return spec


def behaviours(outages: Outages, model: str, count: int, now_ms: int = 0) -> list[str]:
    return [outages.decide(named(model), "sk-1", now_ms).name for _ in range(count)]


@pytest.mark.parametrize(
    ("model", "fault", "after"),
    [
        ("fail-503;fail_first=2;group=a", "fail-503", "echo"),
        ("echo;fail_first=2;group=a", "fail-500", "echo"),
        ("slow;fail=cut;fail_first=2;group=a", "fail-cut", "slow"),
        ("echo;status=502;fail_first=2;group=a", "fail-status", "echo"),
    ],
)
def test_the_first_requests_of_a_group_fail(model: str, fault: str, after: str) -> None:
    assert behaviours(Outages(), model, 4) == [fault, fault, after, after]


def test_groups_are_counted_apart() -> None:
    outages = Outages()
    assert behaviours(outages, "fail-500;fail_first=1;group=a", 2) == ["fail-500", "echo"]
    assert behaviours(outages, "fail-500;fail_first=1;group=b", 2) == ["fail-500", "echo"]
    outages.forget_groups()
    assert behaviours(outages, "fail-500;fail_first=1;group=a", 1) == ["fail-500"]


def test_a_rate_fails_its_share_and_the_same_ones_each_time() -> None:
    first = behaviours(Outages(), "fail-500;rate=0.3;seed=7", 2000)
    assert first == behaviours(Outages(), "fail-500;rate=0.3;seed=7", 2000)
    assert first != behaviours(Outages(), "fail-500;rate=0.3;seed=8", 2000)
    assert 500 < first.count("fail-500") < 700


@pytest.mark.parametrize(
    ("credential", "fault"), [("bad-1", "fail-key"), ("broke-1", "fail-quota"), ("limited-1", "fail-429-retry-after")]
)
def test_a_credential_can_be_the_fault(credential: str, fault: str) -> None:
    assert Outages().decide(named("echo;status=500"), credential, 0) == Spec(fault, Options())


def test_an_outage_ends_after_so_many_requests() -> None:
    outages = Outages()
    outages.set(Outage("echo", named("fail-503"), requests_left=2))
    assert behaviours(outages, "echo", 4) == ["fail-503", "fail-503", "echo", "echo"]
    assert outages.in_force(0) == []


def test_an_outage_ends_with_its_time() -> None:
    outages = Outages()
    outages.set(Outage("*", named("fail-503"), until_ms=1000))
    assert behaviours(outages, "echo", 1, now_ms=999) == ["fail-503"]
    assert behaviours(outages, "echo", 1, now_ms=1000) == ["echo"]


def test_an_outage_may_carry_options() -> None:
    made = outage("Echo", "fail-429;retry_after=3", None, None)
    assert made == Outage("echo", Spec("fail-429", Options(retry_after="3")))
