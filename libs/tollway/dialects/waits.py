"""The wait that a provider names in its headers."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_S_MAX: Final = 7 * 24 * 3600.0


def read_retry_after(headers: Mapping[str, str], *, now_ms: int) -> float | None:
    """The wait that the provider named, in seconds: the standard header, OpenAI's milliseconds, or a reset time.

    Header names are lower case. Garbage and more than a week count as not said.
    """
    for name, remaining, read in _WAITS:
        if headers.get(remaining, "0").strip() != "0":
            continue  # this window is not the one that is used up
        seconds = read(headers.get(name, "").strip(), now_ms)
        if seconds is not None and 0 <= seconds <= RETRY_AFTER_S_MAX:
            return seconds
    return None


def _milliseconds(text: str, _now_ms: int) -> float | None:
    value = _number(text)
    return None if value is None else value / 1000


def _seconds_or_date(text: str, now_ms: int) -> float | None:
    value = _number(text)
    return value if value is not None else _date(text, now_ms)


def _duration(text: str, now_ms: int) -> float | None:
    """`6m0s`, `20ms`, `1.5s`, bare seconds, Unix seconds or an RFC 3339 time."""
    bare = _number(text)
    if bare is not None:
        return bare - now_ms / 1000 if bare > 1_000_000_000 else bare
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

_WAITS: Final[tuple[tuple[str, str, Callable[[str, int], float | None]], ...]] = (
    ("retry-after-ms", "", _milliseconds),
    ("retry-after", "", _seconds_or_date),
    ("x-ratelimit-reset-after", "", _duration),
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests", _duration),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens", _duration),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining", _duration),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining", _duration),
    ("x-ratelimit-reset", "x-ratelimit-remaining", _duration),
)
"""Header of the wait, header of what is left in its window, reader."""
