"""What the adapters can reach with the operator's credentials, learned from their beats.

An adapter that falls silent is restarted within a second, and refusing its providers meanwhile would tell callers that
they are misconfigured: so a pool without any living adapter keeps what it last offered. Whether anybody is there to
do the work is found out by dispatching it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from tollway.wire.work import Beat

SILENT_AFTER_MS = 5_000
DEFAULT_POOL = "default"


class Heard(msgspec.Struct, frozen=True):
    """An adapter's last beat that offered something, and when it was heard here (Unix ms)."""

    beat: Beat
    at_ms: int


class Offers(msgspec.Struct, frozen=True):
    """Provider id to the pool whose adapters hold the operator's credential for it. Not known: none was heard yet."""

    pools: Mapping[str, str] = {}
    is_known: bool = False


NOTHING_KNOWN = Offers()


def offers_of(heard: Iterable[Heard], *, now_ms: int) -> Offers:
    """The union over each pool's living adapters, or over its last known ones where none lives; the default pool is
    preferred where several offer a provider."""
    all_heard = list(heard)
    living = {note.beat.pool for note in all_heard if _is_living(note, now_ms)}
    counted = [note.beat for note in all_heard if note.beat.pool not in living or _is_living(note, now_ms)]
    counted.sort(key=lambda beat: (beat.pool != DEFAULT_POOL, beat.pool), reverse=True)
    pools = {provider: beat.pool for beat in counted for provider in beat.managed}
    return Offers(pools, is_known=bool(all_heard))


def _is_living(note: Heard, now_ms: int) -> bool:
    return now_ms - note.at_ms <= SILENT_AFTER_MS


def forget_silent(heard: Mapping[str, Heard], *, now_ms: int) -> dict[str, Heard]:
    """Without the adapters whose pool has a living one: nothing will be asked of them again."""
    living = {note.beat.pool for note in heard.values() if _is_living(note, now_ms)}
    return {node: note for node, note in heard.items() if _is_living(note, now_ms) or note.beat.pool not in living}
