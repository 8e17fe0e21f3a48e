"""What the `/api` plane asks the ledger, on `ledger.query`: balance, transactions, usage rows, overview, one request.

Amounts are integer nano-dollars and times Unix milliseconds: ingress renders dollars, cents and RFC 3339. Every query
names its account, which the caller has proved to be its own; another account's request reads as `resource_missing`.
"""

from typing import Literal

import msgspec

from tollway.wire.plan import Skipped
from tollway.wire.usage import Certainty, Completion, KeySource, Outcome, RetryAction

PAGE_MAX = 100


class GetBalance(msgspec.Struct, frozen=True):
    """Ask what an account has. An unknown account has nothing."""

    account_id: str


class Balance(msgspec.Struct, frozen=True):
    """`available` may be spent now, `held` is set aside for running requests, `debt` is owed (then nothing is spent).

    `balanceCents` is `cents_floor(available_nusd + held_nusd)`: what has not been spent. Never negative.
    """

    available_nusd: int
    held_nusd: int
    debt_nusd: int


class ListTransactions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for money in and out, newest first, after the row `before_id` ("" begins)."""

    account_id: str
    limit: int = PAGE_MAX
    before_id: str = ""


TransactionType = Literal["credits", "usage", "reversal", "adjustment", "expiry", "debt_repaid"]


class Transaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One movement; the amount is positive when the balance grew.

    `credits`: a lot, with its `category` and `expires_at_ms`. `usage`: what one UTC day's requests cost together (the
    row of today still grows; its id stays). `id` sorts by time.
    """

    id: str
    type: TransactionType
    amount_nusd: int
    created_at_ms: int
    category: Literal["purchase", "promotional"] | None = None
    expires_at_ms: int | None = None
    source: str = ""
    reason: str = ""
    by: str = ""


class TransactionList(msgspec.Struct, frozen=True):
    """A page; `next_before_id` is "" on the last one."""

    items: list[Transaction]
    next_before_id: str = ""


class ListUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for usage rows of `[start_ms, end_ms)`, newest first. Without `is_with_retries` only final attempts."""

    account_id: str
    start_ms: int
    end_ms: int | None = None
    access_key_id: str | None = None
    is_with_retries: bool = False
    cursor: str = ""
    limit: int = PAGE_MAX


class UsageRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt of one request. Unknown counts are None. `cost_nusd` is what the customer was charged for it.

    `attempt_id` is the id of the attempt's span. Only the served attempt carries the charge; `operator_cost_nusd` is
    what a provider billed that nobody was charged for. `strategy` and `skipped` are the request's, told in the row of
    its first attempt.
    """

    id: str
    event_ms: int
    request_id: str
    access_key_id: str
    attempt_id: str
    attempt_number: int
    is_final_attempt: bool
    provider: str
    provider_name: str
    model: str
    model_name: str
    retry_action: RetryAction
    completion: Completion
    outcome: Outcome
    certainty: Certainty
    key_source: KeySource
    is_error: bool
    is_timed_out: bool = False
    is_streaming: bool = False
    is_served: bool = False
    status: int | None = None
    stop_reason: str | None = None
    error_class: str | None = None
    tokens_input: int | None = None
    tokens_output: int | None = None
    tokens_cache_read: int | None = None
    tokens_cache_write: int | None = None
    tokens_reasoning: int | None = None
    cost_nusd: int = 0
    operator_cost_nusd: int = 0
    duration_ms: int = 0
    ttft_ms: int | None = None
    provider_key_id: str | None = None
    provider_key_name: str | None = None
    price_version: str = ""
    reason: str | None = None
    service: str | None = None
    strategy: str = ""
    skipped: tuple[Skipped, ...] = ()
    searches: int | None = None


class UsageList(msgspec.Struct, frozen=True):
    """A page; `next_cursor` is "" on the last one."""

    rows: list[UsageRow]
    next_cursor: str = ""


class GetOverview(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for costs, requests and errors per UTC day, in `[start_ms, end_ms)`, grouped by provider or access key."""

    account_id: str
    start_ms: int
    end_ms: int | None = None
    group_by: Literal["provider", "accessKey"] | None = None


class Bucket(msgspec.Struct, frozen=True):
    """One day of one group (`group_key` is "" without grouping). A request counts once, at its final attempt."""

    start_ms: int
    group_key: str
    cost_nusd: int
    requests: int
    errors: int


class Overview(msgspec.Struct, frozen=True):
    """Buckets in order of time and group, and their sums."""

    buckets: list[Bucket]
    cost_nusd: int
    requests: int
    errors: int


class GetRequest(msgspec.Struct, frozen=True):
    """Ask for every attempt of one request. Refusals: `resource_missing`."""

    account_id: str
    request_id: str


class RequestUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Attempts in order, and how the hold ended: "open" while it runs (then there are no rows yet). `strategy` "" is
    not known; `skipped` are candidates that were not tried, or not in their place."""

    request_id: str
    rows: list[UsageRow]
    charged_nusd: int
    ending: Literal["settled", "settled_late", "voided", "expired", "conflict"]
    strategy: str = ""
    skipped: tuple[Skipped, ...] = ()
