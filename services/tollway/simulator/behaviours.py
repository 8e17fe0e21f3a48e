"""What well-behaved models do, and how a provider refuses: scripts as small generators of steps.

The hostile ones are in `hostile`; `models` has the table of all of them.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from .dialects.table import Dialect
from .frames import Frame, Reply, encode
from .http import JSON, LAST_CHUNK, Headers, chunk, head
from .options import Options
from .refusals import WRITERS, Cell, Family, Refusal
from .steps import Opening, Script, Step, Wait

AFTER_DEFAULT = 2
"""Pieces of content before a stream goes wrong."""

WINDOW_TOKENS = 128_000
"""Context window in the price list; enforced only with the option `window`."""


class Call(Struct, frozen=True):
    """A request on its way through a behaviour. `fault` is what a refusal or an error in the stream says."""

    dialect: Dialect
    reply: Reply
    options: Options
    fault: Refusal
    key_last4: str = ""

    @property
    def after(self) -> int:
        return AFTER_DEFAULT if self.options.after is None else self.options.after

    def delay_ms(self, default: int = 0) -> int:
        return default if self.options.delay_ms is None else self.options.delay_ms


# --- honest -----------------------------------------------------------------------------------------------------------


def honest(call: Call) -> Script:
    return streamed(call) if call.reply.ask.stream else whole(call)


def whole(call: Call) -> Script:
    """The answer in one piece, after all the time its stream would have taken."""
    yield Wait(call.options.ttfb_ms + call.options.ttft_ms + call.delay_ms() * ((call.options.chunks or 1) - 1))
    body = call.dialect.whole(call.reply)
    yield opening(call, JSON, length=len(body))
    yield Frame("content", body)


def streamed(call: Call) -> Script:
    yield Wait(call.options.ttfb_ms)
    yield opening(call, call.dialect.stream_type)
    yield from paced(call, call.dialect.frames(call.reply))
    yield LAST_CHUNK


def opening(call: Call, content_type: str, *, length: int | None = None, headers: Headers = ()) -> Opening:
    return Opening(200, head(200, content_type, (*identity(call), *headers), length=length))


_ID_HEADERS = {"openai": "x-request-id", "anthropic": "request-id", "gemini": "x-goog-request-id"}


def identity(call: Call) -> Headers:
    """The header by which this provider names a request."""
    return ((_ID_HEADERS[call.dialect.family], f"req_{call.reply.id}"),)


def paced(call: Call, frames: Iterator[Frame]) -> Script:
    """Frames as chunks of the body: the first content after `ttft`, the others `delay` apart."""
    wait_ms, delay_ms = call.options.ttft_ms, call.delay_ms()
    for frame in frames:
        if frame.kind == "content":
            yield Wait(wait_ms)
            wait_ms = delay_ms
            if call.options.keepalive:
                yield chunk(call.dialect.keepalive)
        yield Frame(frame.kind, chunk(frame.data), frame.size_bytes)


# --- refusals ---------------------------------------------------------------------------------------------------------


def refused(call: Call) -> Script:
    """The fault as this provider words it, with a `Retry-After` if it names one."""
    yield Wait(call.options.ttfb_ms + call.options.ttft_ms)
    yield from refusal_steps(call)


def refusal_steps(call: Call) -> Iterator[Step]:
    cell = worded(call)
    body = encode(error_json(call, cell))
    yield Opening(cell.status, head(cell.status, JSON, (*identity(call), *limits(call, cell)), length=len(body)))
    yield body


def worded(call: Call) -> Cell:
    """The provider's cell with the blanks of its message filled in."""
    cell = call.fault.cell(call.dialect.family)
    window = call.options.window or WINDOW_TOKENS
    blanks = {
        "{model}": call.reply.model,
        "{key}": call.key_last4,
        "{tokens}": str(max(call.reply.answer.tokens_input, window + 1)),
        "{window}": str(window),
    }
    message = cell.message
    for blank, value in blanks.items():
        message = message.replace(blank, value)
    return replace(cell, message=message)


def error_json(call: Call, cell: Cell) -> dict[str, Any]:
    return WRITERS[call.dialect.family](cell, f"req_{call.reply.id}", retry_after(call))


def retry_after(call: Call) -> str | None:
    """The wait as the header says it: seconds, `date+N` as an HTTP date N seconds ahead, or any garbage asked for."""
    asked = call.options.retry_after or call.fault.retry_after
    if asked and asked.startswith("date"):
        return formatdate(call.reply.created_s + int(asked.removeprefix("date") or 0), usegmt=True)
    return asked


def limits(call: Call, cell: Cell) -> Headers:
    """`Retry-After` and the provider's own headers for it."""
    wait = retry_after(call)
    if wait is None:
        return ()
    own = _LIMIT_HEADERS[call.dialect.family](call, int(wait)) if cell.status == 429 and wait.isdigit() else ()
    return (("retry-after", wait), *own)


def _openai_limits(call: Call, wait_s: int) -> Headers:
    del call
    kind = "requests"
    return (
        (f"x-ratelimit-limit-{kind}", "3"),
        (f"x-ratelimit-remaining-{kind}", "0"),
        (f"x-ratelimit-reset-{kind}", f"{wait_s}s"),
    )


def _anthropic_limits(call: Call, wait_s: int) -> Headers:
    reset = datetime.fromtimestamp(call.reply.created_s + wait_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kind = "anthropic-ratelimit-requests"
    return ((f"{kind}-limit", "50"), (f"{kind}-remaining", "0"), (f"{kind}-reset", reset))


_LIMIT_HEADERS: dict[Family, Callable[[Call, int], Headers]] = {
    "openai": _openai_limits,
    "anthropic": _anthropic_limits,
    "gemini": lambda _call, _wait_s: (),
}
