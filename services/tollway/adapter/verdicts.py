"""What a client is told when nothing served, pure: the one candidate's own error, or a line for each attempt."""

from collections.abc import Sequence
from typing import Final

import msgspec

from tollway.adapter.attempts import GiveUp
from tollway.adapter.running import Running
from tollway.dialects.bridge import CONTENT_TYPE_JSON
from tollway.dialects.faults import FAULTS, ErrorClass, Fault
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.work import Head

REFUSAL_OF_CLASS: Final[dict[ErrorClass, str]] = {
    "connect": "upstream_unreachable",
    "timeout": "upstream_timeout",
    "malformed": "upstream_error",
}
"""Faults without an answer of the provider that could be shown."""

MESSAGE_CHARS_MAX: Final = 300


class Verdict(msgspec.Struct, frozen=True):
    """An answer to send as it is, or a refusal for ingress to say."""

    data: bytes = b""
    head: Head | None = None
    refusal: Refusal | None = None


def verdict(failed: Sequence[Running], decision: GiveUp, *, candidates_tried: int, unasked: Refusal | None) -> Verdict:
    """The last word of a request that nothing served before any content."""
    if decision.reason == "deadline":
        return Verdict(refusal=_timed_out(failed))
    if not failed:
        return Verdict(refusal=unasked or refuse("no_provider_key", "There is no candidate for this request."))
    last = failed[-1]
    assert last.fault is not None
    if last.is_cut:
        return Verdict(refusal=_timed_out(failed))
    is_callers = FAULTS[last.fault.error_class].other != "yes"
    if candidates_tried == 1 or is_callers:
        return shown(last, last.fault, attempts=len(failed))
    return Verdict(refusal=_all_failed(failed))


def shown(run: Running, fault: Fault, *, attempts: int) -> Verdict:
    """One candidate's own error, in the client's dialect and with the provider's status."""
    if run.refusal is not None:
        return Verdict(refusal=run.refusal)
    is_silent = run.error_type == "cut" and run.status is None
    code = "upstream_unreachable" if is_silent else REFUSAL_OF_CLASS.get(fault.error_class)
    if code is not None or not fault.body:
        return Verdict(refusal=refuse(code or "upstream_error", fault.message))
    headers = {} if fault.retry_after_s is None else {"retry-after": str(max(1, round(fault.retry_after_s)))}
    if run.dropped:
        headers["tollway-dropped"] = ", ".join(run.dropped)
    return Verdict(fault.body, Head(fault.status, CONTENT_TYPE_JSON, attempts, run.model, headers))


def cut_off(run: Running) -> Refusal:
    """What is said inside a stream that broke after its first content."""
    fault = run.fault
    message = fault.message if fault is not None and fault.message else "The provider's answer was cut off."
    details = {"provider": run.candidate.provider, "class": fault.error_class if fault is not None else "cut"}
    return refuse("upstream_error", message[:MESSAGE_CHARS_MAX], details=details)


def _all_failed(failed: Sequence[Running]) -> Refusal:
    lines = [_line(run) for run in failed]
    waits = [run.fault.retry_after_s for run in failed if run.fault is not None and run.fault.retry_after_s is not None]
    return refuse(
        "all_providers_failed",
        "\n".join(["Every provider failed.", *lines]),
        retry_after_s=max(1, round(min(waits))) if waits else None,
        details={f"attempt {run.number}": line for run, line in zip(failed, lines, strict=True)},
    )


def _timed_out(failed: Sequence[Running]) -> Refusal:
    lines = [_line(run) for run in failed]
    return refuse(
        "total_timeout",
        "\n".join(["The total timeout was used up (totalTimeout of the account, or tollway-timeout).", *lines]),
        details={f"attempt {run.number}": line for run, line in zip(failed, lines, strict=True)},
    )


def _line(run: Running) -> str:
    fault = run.fault
    assert fault is not None
    status = f" {run.status}" if run.status else ""
    return (
        f"{run.number}. {run.model}: {run.error_type or fault.error_class}{status}: {fault.message[:MESSAGE_CHARS_MAX]}"
    )
