"""Durations as Go writes them: `30s`, `2m`, `1m30s`, `500ms`. Pure."""

import re
from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "ns": Decimal("0.000000001"),
    "us": Decimal("0.000001"),
    "µs": Decimal("0.000001"),
    "μs": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
CHARS_MAX: Final = 64


def read_duration(text: str) -> float:
    """Seconds. Raises ValueError for anything that Go would not read, and for what is not positive."""
    if len(text) > CHARS_MAX or not _WHOLE.fullmatch(text):
        raise ValueError("is not a duration such as 30s, 2m or 1m30s")
    seconds = sum((Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(text)), Decimal(0))
    if not Decimal("0.001") <= seconds <= 86_400:
        raise ValueError("must be between 1ms and 24h")
    return float(seconds)


def write_duration(seconds: float) -> str:
    """The shortest of the forms that Go reads: whole hours, minutes and seconds, below a second milliseconds."""
    ms = round(seconds * 1000)
    if ms < 1000:
        return f"{ms}ms"
    hours, rest = divmod(ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", _seconds(rest) if rest else ""]
    return "".join(parts)


def _seconds(ms: int) -> str:
    whole, part = divmod(ms, 1000)
    return f"{whole}.{part:03d}".rstrip("0") + "s" if part else f"{whole}s"
