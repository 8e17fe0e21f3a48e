"""What the simulator says to an ask, before any wire format: text, reasoning, tool calls, and what they cost.

The answer depends on the ask and the options alone, so that a test can compute it.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise
from typing import Any, Literal

import msgspec
from msgspec import Struct

from .ask import BYTES_PER_TOKEN, Ask, size_bytes, tokens
from .options import Options
from .schema import minimal

OUTPUT_LIMIT_TOKENS = 16_384
"""No behaviour but `runaway` says more, whatever it is asked."""

REASONING = "The user wants to hear the last message again. I will repeat it word for word."
"""What `think` thinks."""

Kind = Literal["text", "reasoning", "call"]
Finish = Literal["stop", "length", "calls", "filter", "blocked"]
Count = int | float | str | msgspec.Raw | None
"""A number of tokens, or what a lying provider puts in its place."""


class Part(Struct, frozen=True):
    """A block of the answer. `pieces` is `text` cut for the stream; a call's text is the JSON of its arguments."""

    kind: Kind
    text: str
    pieces: tuple[str, ...] = ()
    name: str = ""

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.name) + size_bytes(self.text)


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens as claimed. `input` includes what was read from or written to a cache, `output` includes reasoning."""

    input: Count = 0
    output: Count = 0
    total: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    reasoning: Count = 0


class Answer(Struct, frozen=True, kw_only=True):
    """The whole answer; every choice says the same. `usage` is None if the provider shall not tell."""

    parts: tuple[Part, ...]
    finish: Finish | None
    stop: str | None = None
    tokens_input: int
    tokens_output: int
    tokens_reasoning: int = 0
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    searches: int = 0
    usage: Usage | None = None


def compose(ask: Ask, options: Options, *, is_thinking: bool, is_runaway: bool) -> Answer:
    """Answer an ask. Only a runaway ignores the caller's limit and the model's own."""
    limit = None if is_runaway else min(ask.tokens_output_max or OUTPUT_LIMIT_TOKENS, OUTPUT_LIMIT_TOKENS)
    said, stop = _until_stop(_said(ask, options, is_thinking), ask.stops)
    kept = tuple(_within(said, limit))
    is_cut = kept != said or _is_over(options.tokens_output, limit)
    parts = tuple(_cut(part, options) for part in kept) if ask.stream else kept
    return _billed(ask, options, parts, limit, finish=_finish(parts, is_cut=is_cut), stop=None if is_cut else stop)


def _finish(parts: tuple[Part, ...], *, is_cut: bool) -> Finish:
    if is_cut:
        return "length"
    return "calls" if parts and parts[-1].kind == "call" else "stop"


def _is_over(claimed: int | None, limit: int | None) -> bool:
    return claimed is not None and limit is not None and claimed > limit


def _billed(
    ask: Ask, options: Options, parts: tuple[Part, ...], limit: int | None, *, finish: Finish, stop: str | None
) -> Answer:
    reasoning = sum(tokens(part.size_bytes) for part in parts if part.kind == "reasoning")
    visible = sum(tokens(part.size_bytes) for part in parts if part.kind != "reasoning")
    claimed_reasoning = reasoning if options.tokens_reasoning is None else options.tokens_reasoning
    output = visible + claimed_reasoning if options.tokens_output is None else options.tokens_output
    output = output if limit is None else min(output, limit)
    answer = Answer(
        parts=parts,
        finish=finish,
        stop=stop,
        tokens_input=tokens(ask.input_bytes) if options.tokens_input is None else options.tokens_input,
        tokens_output=output * ask.choices,
        tokens_reasoning=min(claimed_reasoning, output) * ask.choices,
        tokens_cache_read=options.tokens_cache_read,
        tokens_cache_write=options.tokens_cache_write,
        searches=min(options.searches, ask.searches_max),
    )
    return msgspec.structs.replace(answer, usage=honest_usage(answer))


def honest_usage(answer: Answer) -> Usage:
    """The usage that says what is billed."""
    return Usage(
        input=answer.tokens_input,
        output=answer.tokens_output,
        total=answer.tokens_input + answer.tokens_output,
        cache_read=answer.tokens_cache_read,
        cache_write=answer.tokens_cache_write,
        reasoning=answer.tokens_reasoning,
    )


def tokens_after(answer: Answer, choices: int, sent_bytes: int) -> int:
    """Output tokens produced when so many bytes of the answer had gone out: the whole in proportion, rounded up."""
    whole_bytes = choices * sum(part.size_bytes for part in answer.parts)
    return -(-answer.tokens_output * sent_bytes // whole_bytes) if whole_bytes else 0


# --- what is said -----------------------------------------------------------------------------------------------------


def _said(ask: Ask, options: Options, is_thinking: bool) -> tuple[Part, ...]:
    thoughts = (Part("reasoning", REASONING),) if is_thinking else ()
    calls = tuple(calls_in(ask)) if ask.tools else ()
    return thoughts + (calls or (Part("text", _text(ask, options)),))


def calls_in(ask: Ask) -> Iterator[Part]:
    """The tool calls that the last word spells as `call:<tool>(<json>)`, for tools that the request offers.

    Tool results may spell them too, and so lead an agent from one step to the next.
    """
    text = "\n".join(ask.results) if ask.results else ask.text
    for match in re.finditer(r"call:([\w.-]+)\(", text):
        arguments = _arguments(text, match.end())
        if arguments is not None and match[1] in ask.tools:
            yield Part("call", arguments, name=match[1])


def _arguments(text: str, start: int) -> str | None:
    if text.startswith(")", start):
        return "{}"
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return None
    return text[start:end] if text.startswith(")", end) else None


_SHAPES: dict[str, Callable[[Ask], str]] = {
    "text": lambda ask: ask.text,
    "json": lambda ask: _json({"echo": ask.text}),
    "schema": lambda ask: _json(minimal(ask.schema)),
}


def _text(ask: Ask, options: Options) -> str:
    if ask.results:
        return "The tool answered: " + "\n".join(ask.results)
    text = _SHAPES[ask.shape](ask)
    if options.size_bytes is not None:
        return _stretched(text, options.size_bytes)
    return _repeated(text, options.chunks) if options.chunks and ask.shape == "text" else text


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _stretched(text: str, size: int) -> str:
    """Exactly `size` bytes of the text over and over; a character that does not fit at the end becomes dots."""
    unit = (text.strip() or "word").encode("utf-8", "surrogatepass") + b" "
    cut = (unit * (size // len(unit) + 1))[:size].decode("utf-8", "ignore")
    return cut + "." * (size - size_bytes(cut))


def _words(text: str) -> list[str]:
    """The text in words, each with the space that follows it."""
    return re.findall(r"\S+\s*|\s+", text)


def _repeated(text: str, least: int) -> str:
    """The words of the text, over and over until there are `least` of them."""
    found = _words(text)
    if len(found) >= least or not found:
        return text
    return "".join(islice(cycle([word if word[-1].isspace() else word + " " for word in found]), least))


# --- limits -----------------------------------------------------------------------------------------------------------


def _until_stop(parts: tuple[Part, ...], stops: tuple[str, ...]) -> tuple[tuple[Part, ...], str | None]:
    """Cut the text before the first stop sequence, and say which it was."""
    last = parts[-1]
    found = [(last.text.index(stop), stop) for stop in stops if stop and last.kind == "text" and stop in last.text]
    if not found:
        return parts, None
    at, stop = min(found)
    return (*parts[:-1], Part("text", last.text[:at])), stop


def _within(parts: tuple[Part, ...], limit: int | None) -> Iterator[Part]:
    """The parts that fit into `limit` tokens, the last one cut."""
    left = limit
    for part in parts:
        if left is None or tokens(part.size_bytes) <= left:
            yield part
            left = None if left is None else left - tokens(part.size_bytes)
        else:
            yield from _shortened(part, left)
            return


def _shortened(part: Part, limit: int) -> Iterator[Part]:
    room = limit * BYTES_PER_TOKEN - size_bytes(part.name)
    if room > 0:
        yield Part(
            part.kind, part.text.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore"), name=part.name
        )


# --- pieces -----------------------------------------------------------------------------------------------------------

_CALL_PIECE_CHARS = 12


def _cut(part: Part, options: Options) -> Part:
    return Part(part.kind, part.text, tuple(_pieces(part, options.chunks)), part.name)


def _pieces(part: Part, chunks: int | None) -> list[str]:
    if part.kind == "call":
        return _evenly(part.text, -(-len(part.text) // _CALL_PIECE_CHARS))
    if part.kind == "reasoning" or chunks is None:
        return _words(part.text)
    found = _words(part.text)
    return _grouped(found, chunks) if len(found) >= chunks else _evenly(part.text, chunks)


def _grouped(pieces: list[str], groups: int) -> list[str]:
    """The pieces joined into so many groups of nearly the same length."""
    edges = [len(pieces) * group // groups for group in range(groups + 1)]
    return ["".join(pieces[start:end]) for start, end in pairwise(edges)]


def _evenly(text: str, pieces: int) -> list[str]:
    return _grouped(list(text), min(pieces, len(text))) if text else []
