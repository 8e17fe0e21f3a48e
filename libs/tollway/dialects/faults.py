"""Provider errors: their classes and what each means for failover."""

from typing import Final, Literal

import msgspec

from tollway.wire.usage import Usage

ErrorClass = Literal[
    "connect",
    "timeout",
    "retryable_conflict",
    "rate_limit",
    "quota",
    "overloaded",
    "server",
    "bad_credential",
    "model_missing",
    "context_length",
    "too_large",
    "bad_request",
    "content_policy",
    "malformed",
    "error_in_stream",
]
"""connect: nothing was sent. overloaded: 503 and 529. server: other 5xx. error_in_stream: an error of no better class
inside a 200 stream; one that names its class has that class."""


class FaultRule(msgspec.Struct, frozen=True):
    """What a class means.

    `same`: may the same target be tried again (`after_wait`: once the provider's stated time is over).
    `other`: may another target be tried (`opt_in`: only where the account asked for it).
    `breaker`: what it counts against. `is_alarm`: an operator must act.
    """

    same: Literal["no", "once", "yes", "after_wait"]
    other: Literal["yes", "no", "larger_window", "opt_in"]
    breaker: Literal["none", "target", "cools_target", "credential", "deployment"]
    is_alarm: bool = False


FAULTS: Final[dict[ErrorClass, FaultRule]] = {
    "connect": FaultRule("yes", "yes", "target"),
    "timeout": FaultRule("no", "yes", "target"),
    "retryable_conflict": FaultRule("once", "yes", "none"),
    "rate_limit": FaultRule("after_wait", "yes", "cools_target"),
    "quota": FaultRule("no", "yes", "credential", is_alarm=True),
    "overloaded": FaultRule("once", "yes", "target"),
    "server": FaultRule("once", "yes", "target"),
    "bad_credential": FaultRule("no", "yes", "credential", is_alarm=True),
    "model_missing": FaultRule("no", "yes", "deployment"),
    "context_length": FaultRule("no", "larger_window", "none"),
    "too_large": FaultRule("no", "larger_window", "none"),
    "bad_request": FaultRule("no", "no", "none"),
    "content_policy": FaultRule("no", "opt_in", "none"),
    "malformed": FaultRule("no", "yes", "target"),
    "error_in_stream": FaultRule("no", "yes", "target"),
}


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failed attempt. `message` and `code` are the provider's own, bounded; `body` is for the client, in its dialect.

    `status` is what the client gets when this passes through. `retry_after_s`: the wait the provider named.
    `usage`: what the provider says it used in spite of the error.
    """

    error_class: ErrorClass
    status: int
    message: str
    code: str = ""
    retry_after_s: float | None = None
    body: bytes = b""
    usage: Usage | None = None

    @property
    def rule(self) -> FaultRule:
        """The table's row for this class."""
        return FAULTS[self.error_class]


STATUS_WITHOUT_ANSWER: Final[dict[ErrorClass, int]] = {
    "connect": 502,
    "timeout": 504,
    "malformed": 502,
    "error_in_stream": 502,
    "rate_limit": 429,
    "quota": 402,
    "overloaded": 503,
    "server": 502,
    "bad_credential": 401,
    "model_missing": 404,
    "context_length": 400,
    "too_large": 413,
    "bad_request": 400,
    "content_policy": 400,
    "retryable_conflict": 409,
}
"""What the client gets where the provider sent no error status of its own (error in a 200, no answer at all)."""

CODES: Final[dict[ErrorClass, str]] = {
    "rate_limit": "rate_limit_exceeded",
    "quota": "insufficient_quota",
    "model_missing": "model_not_found",
    "context_length": "context_length_exceeded",
    "content_policy": "content_policy_violation",
}
"""OpenAI's words for classes that its clients act on, said where the provider's dialect has no such word."""
