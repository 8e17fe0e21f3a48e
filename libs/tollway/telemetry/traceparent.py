"""W3C trace context, version 00, as one string: `00-<trace id>-<span id>-<01 sampled | 00 not>`. Pure.

Everything of ours carries the string in that exact form; only `parse` reads strings from outside.
"""

import re
from typing import Final

import msgspec

_OUTSIDE: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


class Parent(msgspec.Struct, frozen=True):
    """A caller's trace context, read and checked."""

    trace_id: str
    span_id: str
    is_sampled: bool


def make(*, trace_id: str, span_id: str, is_sampled: bool) -> str:
    """The traceparent under which the children of a span are recorded."""
    return f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}"


def parse(text: str) -> Parent | None:
    """A traceparent from outside; None for anything that is not one, which then is as if it had not come."""
    found = _OUTSIDE.fullmatch(text.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    is_valid = version != "ff" and not (version == "00" and rest) and any(c != "0" for c in trace_id)
    if not is_valid or span_id == "0" * 16:
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def child(trace: str, span_id: str) -> str:
    """The same trace, below another span: what goes on to those that this span calls."""
    return f"{trace[:36]}{span_id}{trace[52:]}" if trace else ""


def trace_id_of(trace: str) -> str:
    """The trace id; "" without a trace."""
    return trace[3:35]


def span_id_of(trace: str) -> str:
    """The span below which this traceparent records; "" without a trace."""
    return trace[36:52]


def is_sampled(trace: str) -> bool:
    """Whether spans of this trace are exported as they come."""
    return trace.endswith("1")


def is_chosen(trace_id: str, ratio: float) -> bool:
    """Head sampling by the trace id's low 64 bits, as OpenTelemetry's TraceIdRatioBased: the same id, the same fate."""
    return int(trace_id[16:], 16) < round(ratio * (1 << 64))
