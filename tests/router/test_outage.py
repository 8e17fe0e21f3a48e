"""A provider goes down for a minute under a steady load, on a manual clock: what that costs, and when it is over."""

import msgspec
import pytest

from tests.router.conftest import Router, principal_of
from tollway.router.catalog import Catalog
from tollway.router.domain import Planned, plan
from tollway.wire.plan import Candidate, HealthChanged, HealthSeen, Plan, PlanRoute

START_MS = 1_000_000
DOWN_MS = (START_MS + 10_000, START_MS + 70_000)
END_MS = START_MS + 120_000
STEP_MS = 10
"""100 requests a second."""
TOLD_EVERY_MS = 100
"""How often an adapter tells what it saw."""


class Story:
    """One ingress that remembers plans, one adapter that tells health, and a provider that is away for a minute."""

    def __init__(self, router: Router, error_class: str) -> None:
        self.router = router
        self.error_class = error_class
        self.now_ms = START_MS
        self.remembered: Plan | None = None
        self.seen: list[HealthSeen] = []
        self.calls_while_down = 0
        self.served = 0
        self.first_served_again_ms = 0

    def run(self) -> None:
        while self.now_ms < END_MS:
            if self.now_ms % TOLD_EVERY_MS == 0:
                self._pass_time()
            self._request()
            self.now_ms += STEP_MS

    def _pass_time(self) -> None:
        health = self.router.health
        changes = [change for note in self.seen for change in health.seen(note, self.now_ms)]
        self._forget(changes + health.tick(self.now_ms))
        self.seen.clear()

    def _forget(self, changes: list[HealthChanged]) -> None:
        if changes:
            self.remembered = None

    def _plan(self) -> Plan:
        if self.remembered is not None:
            return self.remembered
        question = PlanRoute(principal_of(), ("openai:gpt-4o", "anthropic:claude-sonnet-4-5"), "chat")
        answer = plan(self.router.view, question, now_ms=self.now_ms)
        assert isinstance(answer, Planned)
        if answer.probe is not None:
            probe = answer.probe
            self._forget(self.router.health.claim(probe.provider, probe.model, probe.credential_id, self.now_ms))
        elif answer.plan.is_cacheable:
            self.remembered = answer.plan
        return answer.plan

    def _request(self) -> None:
        for candidate in self._plan().candidates:
            if self._attempt(candidate):
                self.served += 1
                return

    def _attempt(self, candidate: Candidate) -> bool:
        is_down = candidate.provider == "openai" and DOWN_MS[0] <= self.now_ms < DOWN_MS[1]
        note = HealthSeen(candidate.provider, candidate.model, candidate.credential_id)
        if is_down:
            self.calls_while_down += 1
            note = msgspec.structs.replace(note, failures=1, error_class=self.error_class)
        else:
            note = msgspec.structs.replace(note, successes=1)
            if candidate.provider == "openai" and self.now_ms >= DOWN_MS[1] and not self.first_served_again_ms:
                self.first_served_again_ms = self.now_ms
        self.seen.append(note)
        return not is_down


@pytest.mark.parametrize("error_class", ["server", "connect", "timeout", "overloaded"])
def test_an_outage_costs_a_handful_of_calls_and_no_request_and_ends_within_seconds(
    catalog: Catalog, error_class: str
) -> None:
    story = Story(Router(catalog, "openai", "anthropic"), error_class)
    story.run()
    back_s = (story.first_served_again_ms - DOWN_MS[1]) / 1000
    print(f"{error_class}: {story.served} served, {story.calls_while_down} calls while down, back after {back_s:.1f} s")
    assert story.served == (END_MS - START_MS) // STEP_MS
    assert story.calls_while_down < 30
    assert 0 < back_s <= 8.1
    assert story.router.health.trouble == set()
