"""Which candidate next: the attempts of one request as a state machine without clock, IO or randomness.

A fault goes in, a decision comes out. What a class of fault means is the table `tollway.dialects.faults.FAULTS`; what
the account allows is `retry_same_candidate`; what time allows is the deadline; what a storm allows is `RetryBudget`.
"""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from tollway.dialects.faults import FAULTS, ErrorClass
from tollway.wire.plan import Candidate
from tollway.wire.usage import Completion, RetryAction
from tollway.wire.work import Limits

RetrySame = Literal["never", "retry-after", "transient"]

JITTER_MAX_S: Final = 0.25
"""A transient fault is tried again after a random wait of at most this."""

WAIT_MARGIN_MS: Final = 250
"""A stated wait fits if so much of the deadline is left after it."""

QUOTA_COOL_S: Final = 600.0
CREDENTIAL_COOL_S: Final = 60.0


class Failure(msgspec.Struct, frozen=True):
    """How an attempt failed. `has_content`: the client has seen some of it, so nothing may follow."""

    error_class: ErrorClass
    retry_after_s: float | None = None
    has_content: bool = False


class Try(msgspec.Struct, frozen=True):
    """Try the candidate at `index` after `wait_s`. `action` goes into the row of the attempt that failed."""

    index: int
    action: RetryAction = "succeeded"
    wait_s: float = 0.0


class GiveUp(msgspec.Struct, frozen=True):
    """Nothing more is tried. `reason` is for the trace: a class of fault, `no_candidates`, `deadline`, `budget`."""

    action: Literal["fail_fast", "exhausted"]
    reason: str


Decision = Try | GiveUp


class RetryBudget:
    """Failed attempts after a request's first may be a fifth of the requests and ten a second: a storm of errors is not
    multiplied. A retry that succeeds costs nothing: an outage of one provider is failed over without limit.

    What a retry is likely to cost is taken when it begins, judged by how the last ones ended, so that a storm cannot
    begin many at once on the last of the budget.
    """

    SHARE: Final = 0.2
    PER_SECOND: Final = 10.0
    BALANCE_MAX: Final = 100.0
    MEMORY: Final = 0.1

    def __init__(self, now_s: float) -> None:
        self._balance = self.BALANCE_MAX
        self._failing = 0.0
        self._at_s = now_s

    def request(self, now_s: float) -> None:
        """A request began."""
        self._add(self.SHARE + (now_s - self._at_s) * self.PER_SECOND)
        self._at_s = now_s

    def begin(self) -> float:
        """A retry begins; what it is taken to cost until it has ended."""
        self._add(-self._failing)
        return self._failing

    def end(self, taken: float, *, has_failed: bool | None) -> None:
        """A retry that `taken` was taken for has ended; None: nobody knows how it would have."""
        self._add(taken - bool(has_failed))
        if has_failed is not None:
            self._failing += (has_failed - self._failing) * self.MEMORY

    @property
    def is_left(self) -> bool:
        """Whether another retry may be made."""
        return self._balance >= 1.0

    def _add(self, amount: float) -> None:
        self._balance = max(-self.BALANCE_MAX, min(self.BALANCE_MAX, self._balance + amount))


class Attempts:
    """The candidates of one request and what became of them."""

    def __init__(self, candidates: tuple[Candidate, ...], *, retry_same: RetrySame, deadline_ms: int) -> None:
        self.candidates = _distinct(candidates)
        self.count = 0
        self._retry_same: RetrySame = retry_same
        self._deadline_ms = deadline_ms
        self._tries = [0] * len(self.candidates)
        self._ready_ms: dict[int, int] = {}
        self._window_min: int | None = None

    def first(self) -> Decision:
        """Where to begin."""
        return self._taken(Try(0)) if self.candidates else GiveUp("fail_fast", "no_candidates")

    def is_late(self, now_ms: int) -> bool:
        """Whether the deadline has passed, so that nothing may be begun."""
        return now_ms >= self._deadline_ms

    def after(self, index: int, failure: Failure, *, now_ms: int, jitter: float, is_budget_left: bool) -> Decision:
        """What to do after the candidate at `index` failed. `jitter` in [0, 1) is the caller's random number."""
        rule = FAULTS[failure.error_class]
        if failure.has_content or rule.other in ("no", "opt_in"):
            return GiveUp("fail_fast", failure.error_class)
        self._remember(index, failure, now_ms)
        if self.is_late(now_ms):
            return GiveUp("exhausted", "deadline")
        if not is_budget_left:
            return GiveUp("exhausted", "budget")
        return self._again(index, rule.same, jitter) or self._onwards(index) or self._waited(now_ms)

    def rescue(self, index: int, is_able: Callable[[Candidate], bool]) -> Try | None:
        """The next candidate that can go on with an answer which broke after its first content."""
        for ahead in range(index + 1, len(self.candidates)):
            if not self._tries[ahead] and is_able(self.candidates[ahead]):
                return self._taken(Try(ahead, moved(self.candidates[index], self.candidates[ahead])))
        return None

    def skip(self, index: int, *, is_able: Callable[[Candidate], bool] | None = None) -> Decision:
        """What to do when the candidate could not even be asked (the body cannot be carried to it): no attempt.

        `is_able`: an answer has begun, so that only such a candidate may follow.
        """
        self.count -= 1
        self._tries[index] = -1
        following = self._onwards(index) if is_able is None else self.rescue(index, is_able)
        return following or GiveUp("exhausted", "no_candidates")

    @property
    def candidates_tried(self) -> int:
        """How many candidates had at least one attempt."""
        return sum(1 for tries in self._tries if tries > 0)

    def _remember(self, index: int, failure: Failure, now_ms: int) -> None:
        if FAULTS[failure.error_class].other == "larger_window":
            self._window_min = self.candidates[index].tokens_window + 1
        if failure.retry_after_s is not None and FAULTS[failure.error_class].same != "no":
            self._ready_ms[index] = now_ms + int(failure.retry_after_s * 1000)

    def _again(self, index: int, same: str, jitter: float) -> Try | None:
        """The same target at once: only for accounts that ask for it, once, and not where a wait was named."""
        is_meant = self._retry_same == "transient" and same in ("once", "yes")
        if not is_meant or self._tries[index] > 1 or index in self._ready_ms:
            return None
        return self._taken(Try(index, "retry_same_backend", jitter * JITTER_MAX_S))

    def _onwards(self, index: int) -> Try | None:
        for ahead in range(index + 1, len(self.candidates)):
            if not self._tries[ahead] and self._is_large_enough(ahead):
                return self._taken(Try(ahead, moved(self.candidates[index], self.candidates[ahead])))
        return None

    def _waited(self, now_ms: int) -> Decision:
        """Nobody else is left: the candidate whose stated wait ends first, if it fits the deadline, once."""
        waiting = [(ready, index) for index, ready in self._ready_ms.items() if self._tries[index] == 1]
        if self._retry_same == "never" or not waiting:
            return GiveUp("exhausted", "no_candidates")
        ready, index = min(waiting)
        if ready + WAIT_MARGIN_MS > self._deadline_ms:
            return GiveUp("exhausted", "retry_after_beyond_deadline")
        return self._taken(Try(index, "retry_same_backend", max(0, ready - now_ms) / 1000))

    def _is_large_enough(self, index: int) -> bool:
        return self._window_min is None or self.candidates[index].tokens_window >= self._window_min

    def _taken(self, decision: Try) -> Try:
        self._tries[decision.index] += 1
        self.count += 1
        return decision


def _distinct(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    kept: dict[tuple[str, str, str], Candidate] = {}
    for it in candidates:
        kept.setdefault((it.provider, it.model_sent, it.credential_id), it)
    return tuple(kept.values())


def moved(failed: Candidate, following: Candidate) -> RetryAction:
    """The word for a move between two candidates."""
    if (failed.provider, failed.model) != (following.provider, following.model):
        return "next_backend"
    if following.is_managed and not failed.is_managed:
        return "managed_fallback"
    return "next_key" if failed.step == following.step else "next_quota_pool"


def completion_of(failure: Failure) -> Completion:
    """How the attempt's row says that it ended."""
    if failure.has_content:
        return "stream_failed"
    return "timed_out" if failure.error_class == "timeout" else "failed"


def cool_s(error_class: ErrorClass, retry_after_s: float | None) -> float:
    """How long the target should be left alone, in seconds; 0: no longer than its health says anyway."""
    match FAULTS[error_class].breaker:
        case "credential":
            return max(retry_after_s or 0.0, QUOTA_COOL_S if error_class == "quota" else CREDENTIAL_COOL_S)
        case "cools_target" | "target":
            return retry_after_s or 0.0
        case "deployment" | "none":
            return 0.0


class Allowance(msgspec.Struct, frozen=True):
    """The time one attempt has, in seconds. `is_cut`: the request's deadline, not the attempt's own limit, ends it.

    `first_s`: until the whole of a JSON answer, or the first content of a stream.
    """

    connect_s: float
    first_s: float
    gap_s: float
    is_cut: bool


def allowance(limits: Limits, *, is_stream: bool, deadline_ms: int, now_ms: int) -> Allowance:
    """Every limit cut by what is left of the deadline."""
    left_s = max(0.0, (deadline_ms - now_ms) / 1000)
    own_s = min(limits.attempt_s, limits.first_token_s) if is_stream else limits.attempt_s
    return Allowance(min(limits.connect_s, own_s, left_s), min(own_s, left_s), limits.chunk_gap_s, left_s < own_s)
