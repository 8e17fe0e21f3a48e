"""What an access key spent this UTC day and month, for its limits."""

from typing import Final

import msgspec

DAY_MS: Final = 86_400_000


class KeySpend(msgspec.Struct, gc=False):
    """Counters that start anew with the day and the month; `held` is in open holds."""

    held: int = 0
    day: int = 0
    day_spent: int = 0
    month: int = 0
    month_spent: int = 0

    def add(self, amount: int, ts_ms: int) -> None:
        """Count a charge at its block's time."""
        day = ts_ms // DAY_MS
        if day != self.day:
            self._turn(day)
        self.day_spent += amount
        self.month_spent += amount

    def _turn(self, day: int) -> None:
        month = month_of(day)
        if month != self.month:
            self.month, self.month_spent = month, 0
        self.day, self.day_spent = day, 0

    def today(self, ts_ms: int) -> int:
        """Spent and held today. A clock behind the counters gives no second day."""
        return self.held + (self.day_spent if ts_ms // DAY_MS <= self.day else 0)

    def this_month(self, ts_ms: int) -> int:
        """Spent and held this month."""
        return self.held + (self.month_spent if month_of(ts_ms // DAY_MS) <= self.month else 0)


def month_of(day: int) -> int:
    """Months since 1970 of a day since 1970 (civil calendar, Hinnant's algorithm)."""
    shifted = day + 719_468
    era_day = shifted % 146_097
    year_of_era = (era_day - era_day // 1_460 + era_day // 36_524 - era_day // 146_096) // 365
    year_day = era_day - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * year_day + 2) // 153
    year = year_of_era + shifted // 146_097 * 400 + (month_from_march >= 10)
    return (year - 1970) * 12 + (month_from_march + 2) % 12


def day_ends_in_s(ts_ms: int) -> int:
    """Seconds until the next UTC midnight, at least 1."""
    return max(1, -(-(DAY_MS - ts_ms % DAY_MS) // 1000))


def month_ends_in_s(ts_ms: int) -> int:
    """Seconds until the next UTC month, at least 1."""
    day = ts_ms // DAY_MS
    ahead = next(offset for offset in range(1, 33) if month_of(day + offset) != month_of(day))
    return day_ends_in_s(ts_ms) + (ahead - 1) * 86_400
