"""The real core against the forty-line reference, over random lives of an account, with crashes and repeats."""

from typing import Any

import hypothesis.strategies as some
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.ledger.reference import Reference
from tests.ledger.story import ACCOUNT, DAY_MS, T0, TOKEN, Story, adjust, extend, grant, reverse, void
from tollway.ledger import state as st
from tollway.ledger.deciding.credit import ExpireLot
from tollway.ledger.deciding.unheard import HOLD_GRACE_MS, ExpireHold
from tollway.wire.pricing import charged_of
from tollway.wire.refusals import Refusal

NEVER = 2**62
AMOUNTS = some.integers(1, 40).map(lambda tokens: tokens * TOKEN) | some.integers(1, 40_000)


class Life(RuleBasedStateMachine):
    """Random commands to both; after each the balances agree and every invariant holds."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.reference = Reference()
        self.amounts: dict[str, int] = {}
        self.late: dict[str, int] = {}
        self.done: list[Any] = []
        self.grants: dict[str, tuple[str, int]] = {}
        self.count = 0
        self.story.with_credit(1, ext_ref="first")
        self.reference.add("lot_1", 0, NEVER, 1)

    def new(self) -> str:
        self.count += 1
        return f"{self.count}"

    def does(self, command: Any) -> Any:
        self.done.append(command)
        return self.story.does(command)

    @rule(amount=AMOUNTS, priority=some.integers(-1, 1), days=some.none() | some.integers(1, 5))
    def credit(self, amount: int, priority: int, days: int | None) -> None:
        expires = None if days is None else self.story.now + days * DAY_MS
        ref = self.new()
        self.does(grant(amount, ext_ref=ref, priority=priority, expires_at_ms=expires))
        lot = self.story.state.payments[st.payment_key(ACCOUNT, "stripe", ref)].lot
        self.grants[ref] = (lot, amount)
        self.reference.add(lot, priority, expires or NEVER, amount)

    @rule(amount=AMOUNTS)
    def opens(self, amount: int) -> None:
        hold = f"rq_{self.new()}"
        opened = not isinstance(self.does(self.story.open(hold, amount)), Refusal)
        assert opened == self.reference.hold(hold, amount)
        if opened:
            self.amounts[hold] = amount

    @precondition(lambda self: self.amounts)
    @rule(data=some.data(), delta=AMOUNTS)
    def extends(self, data: some.DataObject, delta: int) -> None:
        hold = data.draw(some.sampled_from(sorted(self.amounts)))
        nth = self.story.state.holds[hold].extensions + 1
        extended = not isinstance(self.does(extend(nth, delta, hold)), Refusal)
        assert extended == self.reference.hold(hold, delta)
        self.amounts[hold] += delta * extended

    @precondition(lambda self: self.amounts)
    @rule(data=some.data(), tokens=some.integers(0, 12_000))
    def settles(self, data: some.DataObject, tokens: int) -> None:
        hold = data.draw(some.sampled_from(sorted(self.amounts)))
        self.does(self.story.fact(hold, tokens=tokens))
        self.reference.end(hold, charged_of(tokens * TOKEN, self.amounts.pop(hold)))

    @precondition(lambda self: self.amounts)
    @rule(data=some.data(), how=some.sampled_from(["void", "failed", "witness", "deadline"]))
    def gives_back(self, data: some.DataObject, how: str) -> None:
        hold = data.draw(some.sampled_from(sorted(self.amounts)))
        if how == "deadline":
            self.story.now = max(self.story.now, self.story.state.holds[hold].deadline + HOLD_GRACE_MS)
            self.late[hold] = self.amounts[hold]
        commands = {
            "void": void(hold),
            "failed": self.story.fact(hold, outcome="failed_before_content"),
            "witness": self.story.witness(hold, "gateway_failed"),
            "deadline": ExpireHold(hold),
        }
        self.does(commands[how])
        self.reference.end(hold, 0)
        del self.amounts[hold]

    @precondition(lambda self: self.late)
    @rule(data=some.data(), tokens=some.integers(0, 60))
    def settles_late(self, data: some.DataObject, tokens: int) -> None:
        hold = data.draw(some.sampled_from(sorted(self.late)))
        self.does(self.story.fact(hold, tokens=tokens))
        self.reference.owe(charged_of(tokens * TOKEN, self.late.pop(hold)))

    @precondition(lambda self: self.grants)
    @rule(data=some.data())
    def charged_back(self, data: some.DataObject) -> None:
        ref = data.draw(some.sampled_from(sorted(self.grants)))
        lot, amount = self.grants.pop(ref)
        self.does(reverse(ref, amount))
        self.reference.owe(amount, lot)

    @rule(amount=AMOUNTS, sign=some.sampled_from([1, -1]))
    def adjusted(self, amount: int, sign: int) -> None:
        made = self.story.account.lots_made
        self.does(adjust(sign * amount, self.new()))
        if sign > 0:
            self.reference.add(f"lot_{made + 1}", 0, NEVER, amount)
        else:
            self.reference.owe(amount)

    @rule(days=some.integers(0, 3))
    def time_goes_by(self, days: int) -> None:
        self.story.later(days * DAY_MS // 2)
        for lot in [lot for lot in self.story.account.lots if (lot.expires_at or NEVER) < self.story.now]:
            if not lot.is_expired:
                self.does(ExpireLot(ACCOUNT, lot.id))
                self.reference.expire(lot.id)

    @precondition(lambda self: self.done)
    @rule(data=some.data())
    def repeats(self, data: some.DataObject) -> None:
        """Whatever is delivered twice changes nothing (a hold that was refused may be decided anew, so not those)."""
        command = data.draw(some.sampled_from(self.done))
        before = st.canonical(self.story.state)
        if type(command).__name__ in ("GrantCredit", "ReverseCredit", "AdjustBalance", "Witness"):
            assert self.story.does(command) == []
        elif type(command).__name__ == "VoidHold":
            again = self.story.does(command)
            assert again == [] or (isinstance(again, Refusal) and again.code == "hold_unknown"), "or long forgotten"
        elif type(command).__name__ == "UsageFact" and self.story.state.ended(command.hold_id):
            events = self.story.does(command)
            assert isinstance(events, list)
            assert all(type(event).__name__ == "UsageConflicted" for event in events)
            return
        assert st.canonical(self.story.state) == before

    @rule()
    def crashes(self) -> None:
        """Memory is gone: the log gives it back, byte for byte."""
        self.story.state = self.story.replayed()

    @invariant()
    def balances_agree(self) -> None:
        expected = (self.reference.free(), self.reference.held(), self.reference.debt)
        assert self.story.balances() == expected


Life.TestCase.settings = settings(
    max_examples=120, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
test_random_lives_agree_with_the_reference = Life.TestCase
assert T0
