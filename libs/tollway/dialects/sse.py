"""An incremental splitter of server-sent event streams. Bytes in, frames out; nothing is decoded.

Lines may end in LF, CR or CRLF, mixed at will; a chunk may end anywhere, inside a character too. A byte order mark
at the start is skipped. The common case, LF only and whole events in a chunk, costs one split.
"""

import re
from typing import Final

import msgspec

LINE_BYTES_MAX: Final = 1024 * 1024
"""A longer line, or a longer event, is a hostile or broken provider."""

_BOM: Final = b"\xef\xbb\xbf"
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event. `raw` is the original with its closing blank line; line ends that not every client reads (CR, or a
    mixture) are LF in it. `data` None: a comment or no field we know.

    `is_foreign`: no line of it belongs to an event stream (a web page, a bare JSON body).
    """

    raw: bytes
    data: bytes | None
    event: bytes = b""
    is_foreign: bool = False


class Overlong(Exception):  # noqa: N818 - it says what is wrong with the line
    """A line or an event above LINE_BYTES_MAX."""


class Splitter:
    """Feed chunks, get frames; `close` yields what an end of stream leaves: some providers omit the last blank line."""

    __slots__ = ("_has_cr", "_is_started", "_skips_lf", "_tail")

    def __init__(self) -> None:
        self._tail = bytearray()
        self._has_cr = False
        self._skips_lf = False
        self._is_started = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Frames that this chunk completes. Raises Overlong."""
        if self._is_started and not (self._tail or self._has_cr) and chunk.endswith(b"\n\n") and b"\r" not in chunk:
            if chunk.startswith(b"data: ") and chunk.find(b"\n") == len(chunk) - 2:
                return [Frame(chunk, chunk[6:-2])]  # nearly every chunk: 0.5 us instead of 1.4
            return _frames(chunk)
        if not self._is_started or self._skips_lf:
            chunk = self._trimmed(chunk)
        if b"\r" in chunk:
            self._has_cr = True
        return self._from_tail(chunk)

    def close(self) -> list[Frame]:
        """The unfinished last event, closed, if it has data: half a line is nothing that a client may see."""
        rest = bytes(self._tail).rstrip(b"\r\n")
        self._tail.clear()
        frame = _frame(rest + b"\n\n")
        return [frame] if rest and (frame.data is not None or frame.is_foreign) else []

    def _from_tail(self, chunk: bytes) -> list[Frame]:
        before = len(self._tail)
        self._tail += chunk
        end = self._end_of_last_event(max(0, before - 3))
        whole = bytes(self._tail[:end])
        del self._tail[:end]
        if len(self._tail) > LINE_BYTES_MAX:
            raise Overlong
        return _frames(whole)

    def _end_of_last_event(self, start: int) -> int:
        if not self._has_cr:
            return self._tail.rfind(b"\n\n", start) + 2 if self._tail.find(b"\n\n", start) >= 0 else 0
        is_half = self._tail.endswith(b"\r") and b"\r\n" in self._tail  # of a CRLF whose LF is on its way
        limit = len(self._tail) - is_half
        end = 0
        for match in _EVENT_END.finditer(self._tail, start, limit):
            end = match.end()
        self._skips_lf = not is_half and end == len(self._tail) and self._tail.endswith(b"\r")
        return end

    def _trimmed(self, chunk: bytes) -> bytes:
        if self._skips_lf:
            self._skips_lf = not chunk
            return chunk.removeprefix(b"\n")
        head = bytes(self._tail) + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            return chunk
        self._tail.clear()
        self._is_started = True
        return head.removeprefix(_BOM)


def _frames(whole: bytes) -> list[Frame]:
    if not whole:
        return []
    if b"\r" not in whole:
        return [_frame(part + b"\n\n") for part in whole[:-2].split(b"\n\n") if part]
    frames: list[Frame] = []
    start = 0
    for match in _EVENT_END.finditer(whole):
        frames.append(_frame(whole[start : match.end()]))
        start = match.end()
    return [frame for frame in frames if frame.raw.strip()]


def _frame(raw: bytes) -> Frame:
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return Frame(raw, raw[6:-2])
    return _parsed(raw)


def _parsed(raw: bytes) -> Frame:
    fields: dict[bytes, list[bytes]] = {}
    lines = [line for line in raw.splitlines() if line]
    for line in lines:
        name, _, value = line.partition(b":")
        fields.setdefault(name, []).append(value.removeprefix(b" "))
    data = fields.get(b"data")
    event = fields.get(b"event", [b""])[-1]
    is_foreign = not fields.keys() & _FIELDS
    readable = raw if _is_even(raw) else b"\n".join(lines) + b"\n\n"
    return Frame(readable, None if data is None else b"\n".join(data), event, is_foreign)


def _is_even(raw: bytes) -> bool:
    """Whether all lines end in LF, or all in CRLF."""
    returns = raw.count(b"\r")
    return not returns or returns == raw.count(b"\n") == raw.count(b"\r\n")


_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry", b""})
"""The empty name is a comment line."""
