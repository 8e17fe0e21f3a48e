"""What a provider must never do and some provider does: scripts as small generators of steps."""

import zlib
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import msgspec
from msgspec.structs import replace

from .answer import Answer, Usage
from .behaviours import Call, error_json, honest, identity, opening, paced, refused, worded
from .frames import Frame, encode
from .http import JSON, LAST_CHUNK, chunk, head
from .steps import Close, HalfClose, Hang, Opening, Reset, Script, Step, Wait

BLOCK_BYTES = 65_536


# --- silence and death ------------------------------------------------------------------------------------------------


def silent(call: Call) -> Script:
    """Accept the request and say nothing."""
    del call
    yield Hang()


def reset(call: Call) -> Script:
    """RST before any byte."""
    yield Wait(call.options.ttfb_ms)
    yield Reset()


def closed(call: Call) -> Script:
    """FIN before any byte."""
    yield Wait(call.options.ttfb_ms)
    yield Close()


def broken_off(*last: Step) -> Callable[[Call], Script]:
    """Begin honestly, then take the last step instead of going on."""

    def script(call: Call) -> Script:
        yield from _beginning(call)
        yield from last

    return script


def _beginning(call: Call) -> Script:
    """The first `after` pieces of a stream, or the first `bytes` (else half) of a JSON body."""
    yield Wait(call.options.ttfb_ms)
    if call.reply.ask.stream:
        yield opening(call, call.dialect.stream_type)
        yield from paced(call, until(call.dialect.frames(call.reply), call.after))
    else:
        body = call.dialect.whole(call.reply)
        yield opening(call, JSON, length=len(body))
        yield body[: _fewer(call.options.bytes_count, len(body))]


def _fewer(asked: int | None, whole_bytes: int) -> int:
    return whole_bytes // 2 if asked is None else min(asked, whole_bytes - 1)


def until(frames: Iterator[Frame], count: int) -> Iterator[Frame]:
    """The frames up to `count` pieces of content, never the ending; none at all if `count` is -1."""
    left = count
    for frame in frames:
        if left < 0 or frame.kind == "end" or (frame.kind == "content" and left == 0):
            return
        left -= frame.kind == "content"
        yield frame


# --- wrong content ----------------------------------------------------------------------------------------------------


def error_inside(call: Call) -> Script:
    """A 200, then an error: after `after` pieces in a stream, as the whole body otherwise."""
    error = error_json(call, worded(call))
    if call.reply.ask.stream:
        yield from _stream_then(call, lambda sent: call.dialect.failed(call.reply, error, sent))
    else:
        yield from _body(call, encode(error))


GARBAGE = b'data: {"choices": [{"delta"\n\n\x00\x01 garbage: }{\n\ndata: [1, 2\n\n'


def garbage(call: Call) -> Script:
    """A 200 whose JSON or frames are none."""
    if call.reply.ask.stream:
        yield from _stream_then(call, lambda _sent: GARBAGE)
    else:
        yield from _body(call, b'{"id": "x", "choices": [{"message": {"content": ')


def _stream_then(call: Call, ending: Callable[[int], bytes]) -> Script:
    """The beginning of a stream, then an ending that knows how many frames came before it."""
    yield opening(call, call.dialect.stream_type)
    begun = list(until(call.dialect.frames(call.reply), call.after))
    yield from paced(call, iter(begun))
    yield chunk(ending(len(begun)))
    yield LAST_CHUNK


def _body(call: Call, body: bytes, content_type: str = JSON) -> Script:
    yield opening(call, content_type, length=len(body))
    yield body


def html(call: Call) -> Script:
    """A 200 with the page of some proxy."""
    page = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"
    return _body(call, page, "text/html; charset=utf-8")


def empty(call: Call) -> Script:
    """A 200 without a body."""
    return _body(call, b"", call.dialect.stream_type if call.reply.ask.stream else JSON)


def redirect(call: Call) -> Script:
    """A 302 to the address in `to`."""
    headers = (*identity(call), ("location", call.options.to))
    yield Opening(302, head(302, "text/plain", headers, length=0))


def endless(call: Call) -> Script:
    """Honest, but neither finish reason nor terminal event ever comes."""
    if not call.reply.ask.stream:
        yield from honest(_with_answer(call, finish=None))
        return
    yield opening(call, call.dialect.stream_type)
    yield from paced(call, (frame for frame in call.dialect.frames(call.reply) if frame.kind != "end"))
    yield LAST_CHUNK


def _with_answer(call: Call, **changes: Any) -> Call:
    return replace(call, reply=replace(call.reply, answer=replace(call.reply.answer, **changes)))


def filtered(call: Call) -> Script:
    """A 200 whose finish reason is the content filter."""
    return honest(_with_answer(call, finish="filter"))


def blocked(call: Call) -> Script:
    """The prompt offends: an error, but for Gemini, who says so in a 200 without candidates."""
    return honest(_with_answer(call, finish="blocked")) if call.dialect.family == "gemini" else refused(call)


# --- lies about usage -------------------------------------------------------------------------------------------------


def without_usage(call: Call) -> Script:
    return honest(_with_answer(call, usage=None))


def lying(*, output: Any, inputs: Any = None) -> Callable[[Call], Script]:
    """Honest but for the usage; `inputs` stays true unless given."""

    def script(call: Call) -> Script:
        return honest(_with_answer(call, usage=_lie(call.reply.answer, output, inputs)))

    return script


def _lie(answer: Answer, output: Any, inputs: Any) -> Usage:
    return Usage(input=answer.tokens_input if inputs is None else inputs, output=output, total=output)


NAN = msgspec.Raw(b"NaN")
"""Not JSON, and some serialisers write it."""


# --- the same bytes, unkindly -----------------------------------------------------------------------------------------

_SECOND_MS = 1000


def dripped(call: Call) -> Script:
    """Headers at once, then a byte every `delay` (1 s)."""
    wait = Wait(call.delay_ms(_SECOND_MS))
    for step in honest(_at_once(call)):
        yield from _bytewise(step, wait) if isinstance(step, bytes | Frame) else (step,)


def slow_headers(call: Call) -> Script:
    """A byte of the headers every `delay` (1 s), then the body at once."""
    wait = Wait(call.delay_ms(_SECOND_MS))
    for step in honest(_at_once(call)):
        if isinstance(step, Opening):
            yield Opening(step.status, step.data[:1])
            yield from _bytewise(step.data[1:], wait)
        else:
            yield step


def _at_once(call: Call) -> Call:
    return replace(call, options=replace(call.options, delay_ms=0))


def _bytewise(step: bytes | Frame, wait: Wait) -> Iterator[Step]:
    """One byte at a time; a frame counts as sent with its last byte."""
    data = step if isinstance(step, bytes) else step.data
    for at in range(len(data) - 1):
        yield data[at : at + 1]
        yield wait
    yield step._replace(data=data[-1:]) if isinstance(step, Frame) else data[-1:]
    yield wait


def long_line(call: Call) -> Script:
    """Valid, but one line is `bytes` (64 MiB) longer than it need be."""
    size = call.options.bytes_count or 64 << 20
    yield opening(call, call.dialect.stream_type if call.reply.ask.stream else JSON)
    is_padded = False
    for frame in _body_frames(call):
        if is_padded or frame.kind != "content":
            yield frame._replace(data=chunk(frame.data))
        else:
            is_padded = True
            yield from _padded(frame, size)
    yield LAST_CHUNK


def _body_frames(call: Call) -> Iterator[Frame]:
    """The body in frames, whether it is a stream or not."""
    return call.dialect.frames(call.reply) if call.reply.ask.stream else iter([_single(call)])


def _single(call: Call) -> Frame:
    return Frame("content", call.dialect.whole(call.reply))


def _padded(frame: Frame, size: int) -> Iterator[Step]:
    """The frame with a first field of `size` letters more in its JSON object."""
    before, brace, after = frame.data.partition(b"{")
    yield chunk(before + brace + b'"padding":"')
    for at in range(0, size, BLOCK_BYTES):
        yield chunk(b"a" * min(BLOCK_BYTES, size - at))
    yield Frame("content", chunk(b'",' + after), frame.size_bytes)


def invalid_utf8(call: Call) -> Script:
    """Every frame has bytes that are not UTF-8, in a field of its own."""
    return _rewritten(call, lambda data: data.replace(b"{", b'{"padding":"\xc3\x28\xff\xfe",', 1))


def mixed_line_ends(call: Call) -> Script:
    """Valid SSE with the three line ends that the standard allows, in turn; JSON between line ends."""
    ends = cycle((b"\r\n", b"\n", b"\r"))
    if call.reply.ask.stream:
        return _rewritten(call, lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", next(ends)))
    return _rewritten(call, lambda data: b"\r\n" + data + b"\r\n")


def _rewritten(call: Call, rewrite: Callable[[bytes], bytes]) -> Script:
    yield opening(call, call.dialect.stream_type if call.reply.ask.stream else JSON)
    yield from paced(call, (frame._replace(data=rewrite(frame.data)) for frame in _body_frames(call)))
    yield LAST_CHUNK


def split(call: Call) -> Script:
    """Valid, but writes and chunks end inside characters, line ends and words; `delay` (1 ms) between them."""
    wait = Wait(call.delay_ms(1))
    yield opening(call, call.dialect.stream_type if call.reply.ask.stream else JSON)
    held = b""
    for frame in _body_frames(call):
        *pieces, last = awkward(held + frame.data)
        for piece in pieces:
            yield chunk(piece)
            yield wait
        held = last
        yield Frame(frame.kind, b"", frame.size_bytes)
    yield chunk(held)
    yield LAST_CHUNK


def awkward(data: bytes) -> list[bytes]:
    """Cut inside every multi-byte character, inside the field name, and before the last byte."""
    inside = [at for at, byte in enumerate(data) if 0x80 <= byte < 0xC0]
    cuts = sorted({min(3, len(data)), *inside, max(0, len(data) - 1)})
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def gzip_bomb(call: Call) -> Script:
    """A valid answer behind `bytes` (256 MiB) of white space that travel as a thousandth of that."""
    size = call.options.bytes_count or 256 << 20
    is_stream = call.reply.ask.stream
    answer = b"".join(frame.data for frame in _body_frames(call))
    content_type = call.dialect.stream_type if is_stream else JSON
    yield opening(call, content_type, headers=(("content-encoding", "gzip"),))
    for data in _bombed(b"\n" if is_stream else b" ", size, answer):
        yield chunk(data)
    yield Frame("content", LAST_CHUNK, 0)


def _bombed(padding: bytes, size: int, answer: bytes) -> Iterator[bytes]:
    """A gzip stream of the padding and the answer. One compressed block serves again and again."""
    block = padding * (1 << 20)
    deflated = _deflated(block, zlib.Z_FULL_FLUSH)
    checksum = 0
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    for _ in range(size >> 20):
        checksum = zlib.crc32(block, checksum)
        yield deflated
    rest = block[: size & 0xFFFFF] + answer
    length = (size + len(answer)) & 0xFFFFFFFF
    yield _deflated(rest, zlib.Z_FINISH)
    yield zlib.crc32(rest, checksum).to_bytes(4, "little") + length.to_bytes(4, "little")


def _deflated(data: bytes, flush: int) -> bytes:
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    return raw.compress(data) + raw.flush(flush)


CUT = broken_off(Close())
CUT_RESET = broken_off(Wait(10), Reset())
STALL = broken_off(Hang())
HALF_CLOSE = broken_off(HalfClose(), Hang())
