"""Which traces are exported as they come. Whatever failed or failed over always is: `Telemetry.keep`."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollway.telemetry.traceparent import Parent, is_chosen

RATIO_DEFAULT: Final = 0.01


class Sampler(msgspec.Struct, frozen=True):
    """Head sampling. `is_parent_based`: a caller's own decision is followed."""

    ratio: float = RATIO_DEFAULT
    is_parent_based: bool = True

    def is_sampled(self, trace_id: str, parent: Parent | None) -> bool:
        """The decision for a new request."""
        if parent is not None and self.is_parent_based:
            return parent.is_sampled
        return is_chosen(trace_id, self.ratio)


_FIXED: Final = {"always_on": 1.0, "always_off": 0.0}


def read_sampler(environ: Mapping[str, str]) -> Sampler:
    """TOLLWAY_TRACE_SAMPLE (a ratio), else OTEL_TRACES_SAMPLER and _ARG with their standard meaning, else 1 %.

    Raises ValueError with the variable's name for a ratio that is none, or an unknown sampler.
    """
    if own := environ.get("TOLLWAY_TRACE_SAMPLE", ""):
        return Sampler(_ratio("TOLLWAY_TRACE_SAMPLE", own))
    standard = environ.get("OTEL_TRACES_SAMPLER", "")
    if not standard:
        return Sampler()
    kind = standard.removeprefix("parentbased_")
    if kind in _FIXED:
        return Sampler(_FIXED[kind], kind != standard)
    if kind != "traceidratio":
        raise ValueError(f"OTEL_TRACES_SAMPLER: unknown sampler {standard!r}")
    return Sampler(_ratio("OTEL_TRACES_SAMPLER_ARG", environ.get("OTEL_TRACES_SAMPLER_ARG", "1")), kind != standard)


def _ratio(variable: str, text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"{variable}: expected a ratio between 0 and 1, got {text!r}")
    return ratio
