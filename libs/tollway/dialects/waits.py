"""The wait that a provider names in its headers."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_S_MAX: Final = 7 * 24 * 3600.0


def read_retry_after(headers: Mapping[str, str], *, now_ms: int) -> float | None:
    """The wait that the provider named, in seconds: the standard header, OpenAI's milliseconds, or the reset of the
    windows that are used up, the last of them.

    Header names are lower case. Garbage and more than a week count as not said.
    """
    for name, read in _SAID:
        seconds = _bounded(read(headers.get(name, "").strip(), now_ms))
        if seconds is not None:
            return seconds
    resets = (
        _bounded(_duration(headers.get(name, "").strip(), now_ms))
        for name, remaining in _RESETS
        if headers.get(remaining, "0").strip() == "0"
    )
    return max((seconds for seconds in resets if seconds is not None), default=None)


def read_wait(text: str) -> float | None:
    """A wait that a body names: `33s`."""
    return _bounded(_duration(text.strip(), 0))


def _bounded(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds <= RETRY_AFTER_S_MAX else None


def _milliseconds(text: str, _now_ms: int) -> float | None:
    value = _number(text)
    return None if value is None else value / 1000


def _seconds_or_date(text: str, now_ms: int) -> float | None:
    value = _number(text)
    return value if value is not None else _date(text, now_ms)


def _duration(text: str, now_ms: int) -> float | None:
    """`6m0s`, `20ms`, `1.5s`, bare seconds, Unix seconds or milliseconds, or an RFC 3339 time."""
    bare = _number(text)
    if bare is not None:
        unix_s = bare / 1000 if bare > 1_000_000_000_000 else bare
        return unix_s - now_ms / 1000 if unix_s > 1_000_000_000 else bare
    parts = _DURATION_PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    return _instant(text, now_ms)


def _number(text: str) -> float | None:
    return float(text) if _DECIMAL.fullmatch(text) else None


def _date(text: str, now_ms: int) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms / 1000)
    except (ValueError, TypeError, IndexError):
        return None


def _instant(text: str, now_ms: int) -> float | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - now_ms / 1000) if when.tzinfo is not None else None


_DECIMAL: Final = re.compile(r"\d{1,15}(?:\.\d{1,9})?")
_DURATION_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_SAID: Final[tuple[tuple[str, Callable[[str, int], float | None]], ...]] = (
    ("retry-after-ms", _milliseconds),
    ("retry-after", _seconds_or_date),
    ("x-ratelimit-reset-after", _duration),
)
"""Headers that say how long to wait, the first one that can be read."""

_RESETS: Final = (
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
)
"""Header of a window's end, header of what is left in the window: only windows that are used up count."""
