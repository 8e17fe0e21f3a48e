"""Stories: given this state, when this command, then these events. Time is told, never read."""

from typing import Any

from tollway.ledger import events as ev
from tollway.ledger import state as st
from tollway.ledger.applying import apply, begin_block
from tollway.ledger.domain import answer, decide, perform
from tollway.wire.credit import AdjustBalance, ExtendHold, GrantCredit, OpenHold, ReverseCredit, VoidHold
from tollway.wire.plan import Price
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Attempt, Usage, UsageFact, Witness

T0 = 1_800_000_000_000
DAY_MS = 86_400_000
ACCOUNT = "acc_a"
KEY = "aigk_1"
DOLLAR = 1_000_000_000
PRICE = Price(input=1_000_000_000, output=1_000_000_000)
"""With the fee: 1,050 nano-dollars a token."""
TOKEN = 1_050


def attempt(**fields: Any) -> Attempt:
    """A served attempt."""
    given: dict[str, Any] = {
        "id": "00f067aa0ba902b7",
        "number": 1,
        "provider": "openai",
        "provider_name": "OpenAI",
        "model": "gpt-4o",
        "model_name": "GPT-4o",
        "key_source": "managed",
        "started_at_ms": T0,
        "duration_ms": 10,
        "retry_action": "succeeded",
        "completion": "succeeded",
        "is_served": True,
        "status": 200,
    }
    return Attempt(**(given | fields))


class Story:
    """One journal, in memory, with a clock that is set."""

    def __init__(self, now: int = T0) -> None:
        self.state = st.State(11)
        self.now = now
        self.log: list[tuple[int, list[Any]]] = []

    # -- given and when

    def does(self, command: Any) -> list[Any] | Refusal:
        """Decide in a block of its own."""
        before = st.canonical(self.state)
        decided = decide(self.state, command, self.now)
        assert st.canonical(self.state) == before, "deciding changes nothing"
        if isinstance(decided, Refusal) or not decided:
            return decided
        begin_block(self.state, self.now)
        events = perform(self.state, command, self.now)
        assert isinstance(events, list)
        self.log.append((self.now, events))
        self.check()
        return events

    def must(self, command: Any) -> list[Any]:
        """The same, and it is accepted."""
        done = self.does(command)
        assert isinstance(done, list), done
        return done

    def refused(self, command: Any) -> Refusal:
        """The same, and it is refused."""
        done = self.does(command)
        assert isinstance(done, Refusal), done
        return done

    def says(self, command: Any) -> Any:
        """The reply to an accepted command."""
        return answer(self.state, command)

    def later(self, ms: int) -> "Story":
        """Time goes by."""
        self.now += ms
        return self

    def with_credit(self, amount: int = DOLLAR, **fields: Any) -> "Story":
        """An account that has bought credit."""
        self.must(grant(amount, **fields))
        return self

    def with_hold(self, hold: str = "rq_1", amount: int = 1_000_000, **fields: Any) -> "Story":
        """An open hold."""
        self.must(self.open(hold, amount, **fields))
        return self

    def open(self, hold: str = "rq_1", amount: int = 1_000_000, **fields: Any) -> OpenHold:
        """The command that opens a hold, with a minute's deadline from now."""
        given: dict[str, Any] = {
            "hold_id": hold,
            "account_id": ACCOUNT,
            "access_key_id": KEY,
            "amount_nusd": amount,
            "hold_deadline_ms": self.now + 60_000,
            "price_version": "v1",
            "models": ("gpt-4o",),
        }
        return OpenHold(**(given | fields))

    def fact(self, hold: str = "rq_1", tokens: int | None = 100, **fields: Any) -> UsageFact:
        """A fact of a complete answer that used this many output tokens."""
        given: dict[str, Any] = {
            "hold_id": hold,
            "account_id": ACCOUNT,
            "access_key_id": KEY,
            "outbox": "ob",
            "outcome": "complete",
            "certainty": "reported",
            "usage": Usage(0, tokens),
            "attempts": [attempt()],
            "ended_at_ms": self.now,
            "is_managed": True,
            "price": PRICE,
            "price_version": "v1",
        }
        return UsageFact(**(given | fields))

    def witness(self, hold: str = "rq_1", outcome: Any = "complete", **fields: Any) -> Witness:
        """What ingress saw."""
        given: dict[str, Any] = {
            "hold_id": hold,
            "account_id": ACCOUNT,
            "access_key_id": KEY,
            "outcome": outcome,
            "bytes_out": 400,
            "pieces_out": 3,
            "ended_at_ms": self.now,
            "tokens_input_estimate": 10,
            "model": "openai:gpt-4o",
            "is_managed": True,
            "price": PRICE,
        }
        return Witness(**(given | fields))

    # -- then

    @property
    def account(self) -> st.Account:
        """The account of the story."""
        return self.state.accounts[ACCOUNT]

    def balances(self) -> tuple[int, int, int]:
        """available, held, debt."""
        return self.account.available, self.account.held, self.account.debt

    def check(self) -> None:
        """Invariants 1, 2 and 14: what must hold after every event, and that replay gives the same bytes."""
        check_invariants(self.state)
        assert st.canonical(self.replayed()) == st.canonical(self.state), "replay differs from live"

    def replayed(self) -> st.State:
        """The state from the log alone."""
        state = st.State(11)
        for ts, events in self.log:
            begin_block(state, ts)
            for event in events:
                apply(state, event)
        return state


def check_invariants(state: st.State) -> None:
    """Conservation, non-negative sub-ledgers, lots that add up."""
    for account in state.accounts.values():
        assert min(account.available, account.held, account.debt) >= 0
        net = account.available + account.held - account.debt
        credit = account.purchased + account.granted + account.adjusted
        assert net == credit - account.reversed - account.charged - account.expired
        for lot in account.lots:
            assert 0 <= lot.reserved <= lot.remaining <= lot.amount
        assert sum(lot.remaining for lot in account.lots) == account.available + account.held
        assert sum(lot.reserved for lot in account.lots) == account.held
        assert account.lots == sorted(
            account.lots, key=lambda lot: (lot.priority, lot.expires_at or 2**63, lot.created)
        )
        assert not (account.debt and account.available), "free credit repays debt at once"
        assert account.held == sum(key.held for key in account.keys.values())
    assert sum(hold.amount for hold in state.holds.values()) == sum(a.held for a in state.accounts.values())
    system = state.system
    outside = system.cash_in + system.promo + system.revenue + system.breakage + system.refund + system.writeoff
    inside = sum(account.available + account.held - account.debt for account in state.accounts.values())
    assert inside + outside == 0, "money was made or lost"


def grant(amount: int = DOLLAR, **fields: Any) -> GrantCredit:
    """A purchase that never expires, unless told otherwise."""
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "amount_nusd": amount,
        "category": "promotional",
        "source": "stripe",
        "ext_ref": f"pay_{amount}",
        "by": "operator",
    }
    return GrantCredit(**(given | fields))


def extend(nth: int, delta: int, hold: str = "rq_1", **fields: Any) -> ExtendHold:
    """An extension."""
    return ExtendHold(hold, ACCOUNT, nth, delta, **fields)


def void(hold: str = "rq_1", reason: str = "not dispatched") -> VoidHold:
    """The end of a hold before anything was called."""
    return VoidHold(hold, ACCOUNT, reason)


def reverse(ext_ref: str, amount: int) -> ReverseCredit:
    """A chargeback."""
    return ReverseCredit(ACCOUNT, "stripe", ext_ref, amount, "dispute", "stripe")


def adjust(amount: int, idem: str = "i1") -> AdjustBalance:
    """An operator's correction."""
    return AdjustBalance(ACCOUNT, amount, "goodwill", "T-1", "operator", idem)


def kinds(events: list[Any]) -> list[type]:
    """The types of events."""
    return [type(event) for event in events]


__all__ = ["ACCOUNT", "DAY_MS", "DOLLAR", "KEY", "PRICE", "T0", "TOKEN", "Refusal", "Story", "ev"]
