"""Circuits, told what happened and what time it is."""

from hypothesis import given
from hypothesis import strategies as st

from tollway.router.health import (
    COOL_MS,
    COOL_MS_MAX,
    PAROLE_MS,
    PROBE_MS,
    TRIP_COUNT,
    TRIP_IN_ROW,
    Health,
    cool_ms,
)
from tollway.router.ordering import by_health
from tollway.wire.plan import Candidate, HealthChanged, HealthSeen, health_id

T0 = 1_000_000
SHARED = ("openai", "groq")


def note(
    provider: str = "openai", model: str = "m", credential: str = "managed:openai", **fields: object
) -> HealthSeen:
    return HealthSeen(provider, model, credential, **fields)  # pyright: ignore[reportArgumentType]


def failure(error_class: str = "server", count: int = 1, until_ms: int = 0, **target: str) -> HealthSeen:
    return note(failures=count, error_class=error_class, cool_until_ms=until_ms, **target)


def success(count: int = 1, ttft_ms: int = 0, **target: str) -> HealthSeen:
    return note(successes=count, ttft_ms_mean=ttft_ms, **target)


def state(health: Health, provider: str = "openai", model: str = "m", credential: str = "managed:openai") -> str:
    return health.standing(provider, model, credential).state


def fallen(health: Health) -> Health:
    for _ in range(TRIP_IN_ROW):
        health.seen(failure(), T0)
    return health


def test_failures_in_a_row_take_a_target_out() -> None:
    health = Health(SHARED)
    changes = [change for _ in range(TRIP_IN_ROW) for change in health.seen(failure(), T0)]
    assert changes == [HealthChanged(1, "openai", "m", "managed:openai", "open", T0 + COOL_MS)]
    assert state(health) == "open"
    assert state(health, model="other") == "closed"
    assert state(health, credential="aigpk_1") == "closed"


def test_a_success_in_between_ends_the_row() -> None:
    health = Health(SHARED)
    for _ in range(3):
        for _ in range(TRIP_IN_ROW - 1):
            assert health.seen(failure(), T0) == []
        health.seen(success(), T0)
    assert state(health) == "closed"


def test_failures_far_apart_are_no_row() -> None:
    health = Health(SHARED)
    for minute in range(20):
        assert health.seen(failure(), T0 + minute * 60_000) == []


def test_half_of_many_attempts_failing_takes_a_target_out_though_no_row_does() -> None:
    health = Health(SHARED)
    for _ in range(TRIP_COUNT // 2 - 1):
        assert health.seen(failure(), T0) == []
        assert health.seen(success(), T0) == []
    health.seen(success(), T0)
    (change,) = health.seen(failure(), T0)
    assert change.state == "open"


def test_old_attempts_do_not_count_into_the_rate() -> None:
    health = Health(SHARED)
    health.seen(success(100), T0)
    mixed = note(successes=TRIP_COUNT // 2, failures=TRIP_COUNT // 2, error_class="server")
    health.seen(mixed, T0 + 25_000)
    assert state(health) == "open"


def test_a_named_wait_takes_a_target_out_at_once_and_until_then() -> None:
    health = Health(SHARED)
    (change,) = health.seen(failure("rate_limit", until_ms=T0 + 60_000), T0)
    assert (change.state, change.until_ms) == ("open", T0 + 60_000)
    assert health.tick(T0 + 59_999) == []
    assert [change.state for change in health.tick(T0 + 60_000)] == ["half_open"]


def test_a_wait_named_beyond_all_bounds_is_cut() -> None:
    health = Health(SHARED)
    (change,) = health.seen(failure("rate_limit", until_ms=T0 + 10**9), T0)
    assert change.until_ms == T0 + 3_600_000


def test_a_rate_limit_without_a_wait_counts_as_a_failure() -> None:
    assert Health(SHARED).seen(failure("rate_limit"), T0) == []


def test_a_bad_credential_is_out_for_every_model_and_no_other_credential_is() -> None:
    health = Health(SHARED)
    (change,) = health.seen(failure("bad_credential", until_ms=T0 + 300_000), T0)
    assert (change.model, change.credential_id, change.until_ms) == ("", "managed:openai", T0 + 300_000)
    assert state(health, model="anything") == "open"
    assert state(health, credential="aigpk_1") == "closed"


def test_a_provider_that_cannot_be_reached_is_out_whole_and_one_success_anywhere_speaks_for_it() -> None:
    health = Health(SHARED)
    for number in range(TRIP_IN_ROW):
        health.seen(failure("connect", model=f"m{number}"), T0)
    assert state(health, model="never-tried", credential="aigpk_1") == "open"
    assert [change.state for change in health.seen(success(model="m9"), T0)] == ["half_open"]
    health.seen(success(model="m9"), T0)
    assert state(health, model="never-tried") == "closed"


def test_an_accounts_own_provider_is_not_judged_as_a_whole() -> None:
    health = Health(SHARED)
    for number in range(TRIP_IN_ROW):
        health.seen(failure("connect", provider="own", model=f"m{number}", credential="aigpk_1"), T0)
    assert state(health, "own", "other", "aigpk_2") == "closed"


def test_a_provider_without_keys_is_judged_by_its_address_since_its_name_may_be_anothers_too() -> None:
    mine, theirs = health_id("", "http://localhost:11434/v1"), health_id("", "http://localhost:8000/v1")
    health = Health(SHARED)
    health.seen(failure(count=100, provider="own", credential=mine), T0)
    assert (state(health, "own", "m", mine), state(health, "own", "m", theirs)) == ("open", "closed")
    assert health_id("aigpk_1", "http://localhost:11434/v1") == "aigpk_1"


def test_faults_of_the_caller_are_no_failures() -> None:
    health = Health(SHARED)
    assert health.seen(failure("bad_request", count=100), T0) == []


def test_a_successful_probe_brings_a_target_back_at_once() -> None:
    health = fallen(Health(SHARED))
    health.tick(T0 + COOL_MS)
    assert health.standing("openai", "m", "managed:openai").is_free
    assert [change.state for change in health.seen(success(), T0 + COOL_MS)] == ["closed"]
    assert health.trouble == set()


def test_a_failed_probe_doubles_the_wait_up_to_a_bound() -> None:
    health = fallen(Health(SHARED))
    now_ms, waits = T0, [COOL_MS]
    for _ in range(5):
        now_ms += waits[-1]
        health.tick(now_ms)
        (change,) = health.seen(failure(), now_ms)
        waits.append(change.until_ms - now_ms)
    assert waits == [2_000, 4_000, *[COOL_MS_MAX] * 4]
    assert cool_ms("server", 10**6) == COOL_MS_MAX


def test_a_success_while_out_shortens_the_wait_but_the_next_request_is_still_a_probe() -> None:
    health = fallen(Health(SHARED))
    assert [change.state for change in health.seen(success(), T0 + 1)] == ["half_open"]


def test_a_probe_that_nobody_answers_is_given_up() -> None:
    health = fallen(Health(SHARED))
    health.tick(T0 + COOL_MS)
    health.claim("openai", "m", "managed:openai", T0 + COOL_MS)
    assert not health.standing("openai", "m", "managed:openai").is_free
    assert health.tick(T0 + COOL_MS + PROBE_MS - 1) == []
    assert len(health.tick(T0 + COOL_MS + PROBE_MS)) == 1
    assert health.standing("openai", "m", "managed:openai").is_free


def test_a_target_that_nobody_probes_comes_back_on_parole() -> None:
    health = fallen(Health(SHARED))
    health.tick(T0 + COOL_MS)
    back_ms = T0 + COOL_MS + PAROLE_MS
    assert [change.state for change in health.tick(back_ms)] == ["closed"]
    assert [change.state for change in health.seen(failure(), back_ms)] == ["open"]


def test_a_probe_of_another_router_counts_as_ours() -> None:
    ours, theirs = fallen(Health(SHARED)), fallen(Health(SHARED))
    for health in (ours, theirs):
        health.tick(T0 + COOL_MS)
    (claim,) = theirs.claim("openai", "m", "managed:openai", T0 + COOL_MS)
    ours.heard(claim, T0 + COOL_MS)
    assert not ours.standing("openai", "m", "managed:openai").is_free


def test_every_change_has_a_higher_version() -> None:
    health = Health(SHARED, version=7)
    versions = [change.version for _ in range(TRIP_IN_ROW * 3) for change in health.seen(failure(), T0)]
    versions += [change.version for change in health.tick(T0 + COOL_MS)]
    assert versions == list(range(8, 8 + len(versions)))
    assert len(versions) == 2


def test_the_report_shows_trouble_first_and_what_was_counted() -> None:
    health = Health(SHARED)
    health.seen(success(3, 120, provider="groq"), T0)
    fallen(health)
    report = health.report(T0)
    assert [target.state for target in report.targets[:1]] == ["open"]
    assert report.targets[0].reason == "server"
    (groq,) = [target for target in health.report(T0, provider="groq").targets if target.model]
    assert (groq.successes, groq.failures, groq.ttft_ms) == (3, 0, 120)


def candidate(model: str, provider: str = "openai") -> Candidate:
    return Candidate(provider, provider, model, model, model, "openai_chat", "managed:openai", is_managed=True)


def test_targets_that_are_out_go_last_and_are_still_tried() -> None:
    health = fallen(Health(SHARED))
    ordered = by_health([candidate("m"), candidate("n")], health, is_prober=True)
    assert [c.model for c in ordered.candidates] == ["n", "m"]
    assert [(skipped.model, skipped.reason) for skipped in ordered.moved] == [("m", "open:server")]
    assert ordered.is_repeatable
    assert [c.model for c in by_health([candidate("m")], health, is_prober=True).candidates] == ["m"]


def test_exactly_one_request_probes_a_half_open_target() -> None:
    health = fallen(Health(SHARED))
    health.tick(T0 + COOL_MS)
    candidates = [candidate("m"), candidate("n")]
    first = by_health(candidates, health, is_prober=True)
    assert [c.model for c in first.candidates] == ["m", "n"]
    assert first.probe == candidates[0]
    assert not first.is_repeatable
    health.claim("openai", "m", "managed:openai", T0 + COOL_MS)
    second = by_health(candidates, health, is_prober=True)
    assert [c.model for c in second.candidates] == ["n", "m"]
    assert second.probe is None
    assert second.is_repeatable


def test_a_router_that_is_not_the_prober_leaves_the_probe_and_its_plan_is_not_remembered() -> None:
    health = fallen(Health(SHARED))
    health.tick(T0 + COOL_MS)
    ordered = by_health([candidate("m"), candidate("n")], health, is_prober=False)
    assert [c.model for c in ordered.candidates] == ["n", "m"]
    assert not ordered.is_repeatable


def test_a_half_open_target_behind_a_fit_one_is_not_probed() -> None:
    health = fallen(Health(SHARED))
    health.tick(T0 + COOL_MS)
    ordered = by_health([candidate("n"), candidate("m")], health, is_prober=True)
    assert ordered.probe is None
    assert ordered.is_repeatable


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fail", "connect", "rate", "key", "ok", "tick", "plan"]),
        st.integers(0, 5),
        st.integers(0, 20_000),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_no_candidate_is_lost_and_at_most_one_probe_is_under_way(
    steps: list[tuple[str, int, int]],
) -> None:
    health, now_ms = Health(SHARED), T0
    candidates = [candidate("m"), candidate("n"), candidate("m", "groq")]
    probing: dict[str, int] = {}
    for kind, which, wait_ms in steps:
        now_ms += wait_ms
        chosen = candidates[which % 3]
        target = {"provider": chosen.provider, "model": chosen.model}
        match kind:
            case "fail":
                health.seen(failure(count=which + 1, **target), now_ms)
            case "connect":
                health.seen(failure("connect", count=which + 1, **target), now_ms)
            case "rate":
                health.seen(failure("rate_limit", until_ms=now_ms + 5_000, **target), now_ms)
            case "key":
                health.seen(failure("quota", until_ms=now_ms + 5_000, **target), now_ms)
            case "ok":
                health.seen(success(which + 1, **target), now_ms)
                probing.clear()
            case _:
                health.tick(now_ms)
        ordered = by_health(candidates, health, is_prober=True)
        assert sorted(c.model_name for c in ordered.candidates) == sorted(c.model_name for c in candidates)
        if kind == "plan" and ordered.probe is not None:
            probe = ordered.probe
            health.claim(probe.provider, probe.model, probe.credential_id, now_ms)
            again = by_health(candidates, health, is_prober=True).probe
            assert again is None or (again.provider, again.model) != (probe.provider, probe.model)
