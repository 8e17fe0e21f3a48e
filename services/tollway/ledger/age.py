"""Whether a hold's id is new enough: what memory may have forgotten, or an earlier writer refused, stays closed."""

from functools import lru_cache
from typing import Final

from tollway import ids
from tollway.wire.refusals import Refusal, refuse

AGE_MS_MAX: Final = 300_000
"""Half of what endings are surely remembered for; clocks may differ by the other half."""
AHEAD_MS_MAX: Final = 300_000
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID_LENGTH: Final = 26


@lru_cache(maxsize=64)
def ulid_floor(ms: int) -> str:
    """The first ten letters of ULIDs of this millisecond: ids sort by time, so letters can be compared."""
    return "".join(_ALPHABET[(ms >> shift) & 31] for shift in range(45, -1, -5))


def made_at_ms(hold_id: str) -> int:
    """When a hold's id says that it was made; 0 where it says nothing."""
    try:
        return ids.ulid_ms(hold_id)
    except ValueError:
        return 0


def is_fresh(hold_id: str, *, now_ms: int, epoch_ms: int) -> Refusal | None:
    """None if a hold of this id may be opened now. Compares to the second, so that floors are computed once."""
    ulid = hold_id[-ULID_LENGTH:]
    second = now_ms // 1000 * 1000
    if len(ulid) < ULID_LENGTH or ulid < ulid_floor(second - AGE_MS_MAX) or ulid > ulid_floor(second + AHEAD_MS_MAX):
        return refuse("hold_expired", "The hold's id is not of this time.")
    if ulid < ulid_floor(epoch_ms):
        return refuse("ledger_unavailable", "The ledger has just been taken over; try again.", retry_after_s=1)
    return None
