"""Spans that were not sampled, kept for a minute in case their trace turns out to be worth keeping.

Eight generations: recording touches only the youngest, forgetting drops the oldest as a whole, and finding a trace is
eight dictionary look-ups, so neither cost grows with what is remembered. Spans are packed: as tuples and dictionaries
they took four times the memory, and the garbage collector looked at every one of them again and again.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
Event: TypeAlias = tuple[str, int, Attributes]  # name, at ns, attributes
SpanTuple: TypeAlias = tuple[
    str, str, str, str | None, int, int, Attributes, str | None, str, Sequence[str], Sequence[Event]
]  # name, trace, span id, parent id, start ns, end ns, attributes, error, kind, links, events

GENERATIONS: Final = 8
MEMORY_NS: Final = 60_000_000_000
_KEPT_MAX: Final = 4096
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(SpanTuple).decode


class Ring:
    """At most `spans_max` spans and at most 60 s of them. One thread only."""

    def __init__(self, spans_max: int) -> None:
        self._per_generation = max(1, spans_max // GENERATIONS)
        self._generations: deque[dict[str, list[bytes]]] = deque([{}], maxlen=GENERATIONS)
        self._young = self._generations[0]
        self._count = 0
        self._young_until_ns = 0
        self._kept: OrderedDict[str, int] = OrderedDict()

    def add(self, span: SpanTuple) -> bool:
        """Remember a span. False: its trace was kept within the last 60 s, so it is to be exported instead."""
        trace_id = span[1][3:35]
        end_ns = span[5]
        if self._kept and self._kept.get(trace_id, 0) > end_ns:
            return False
        if self._count >= self._per_generation or end_ns > self._young_until_ns:
            self._turn(end_ns)
        self._count += 1
        try:
            packed = _encode(span)
        except OverflowError:  # a figure beyond 64 bits: what a broken provider said
            return True
        spans = self._young.get(trace_id)
        if spans is None:
            self._young[trace_id] = [packed]
        else:
            spans.append(packed)
        return True

    def keep(self, trace_id: str, now_ns: int) -> list[SpanTuple]:
        """Hand out what is remembered of a trace, oldest first, and remember for 60 s that it is kept.

        On repeat: what came since, and another 60 s.
        """
        self._forget_kept(now_ns)
        self._kept.pop(trace_id, None)
        self._kept[trace_id] = now_ns + MEMORY_NS
        found = [generation.pop(trace_id, ()) for generation in self._generations]
        spans = [_decode(packed) for remembered in found for packed in remembered]
        return [span for span in spans if span[5] > now_ns - MEMORY_NS]

    def _turn(self, now_ns: int) -> None:
        """Start a generation; the oldest falls out of the deque, all of them after a minute without a span."""
        if now_ns > self._young_until_ns + MEMORY_NS:
            self._generations.clear()
        self._young = dict[str, list[bytes]]()
        self._generations.append(self._young)
        self._count = 0
        self._young_until_ns = now_ns + MEMORY_NS // GENERATIONS

    def _forget_kept(self, now_ns: int) -> None:
        while self._kept and (len(self._kept) >= _KEPT_MAX or next(iter(self._kept.values())) <= now_ns):
            self._kept.popitem(last=False)
