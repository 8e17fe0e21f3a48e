"""What a model name and the `x-sim` headers ask of the simulator.

`simulator:echo;chunks=20;delay=50` names the behaviour `echo` with two options. The same options may come in the
header `x-sim: chunks=20,delay=50` or one by one as `x-sim-chunks: 20`; a header wins over the name.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace


class Options(Struct, frozen=True, kw_only=True):
    """Everything a caller can set; None leaves it to the behaviour. Waits are milliseconds, sizes bytes."""

    chunks: int | None = None
    delay_ms: int | None = None
    ttft_ms: int = 0
    ttfb_ms: int = 0
    tokens_input: int | None = None
    tokens_output: int | None = None
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    tokens_reasoning: int | None = None
    size_bytes: int | None = None
    status: int | None = None
    after: int | None = None
    bytes_count: int | None = None
    retry_after: str | None = None
    fail: str | None = None
    fail_first: int | None = None
    group: str = ""
    rate: float | None = None
    seed: int = 0
    window: int | None = None
    keepalive: bool = False
    dimensions: int | None = None
    searches: int = 0
    to: str = "http://127.0.0.1:9/"


class Spec(Struct, frozen=True):
    """A model name taken apart: the behaviour's name in lower case, and its options."""

    name: str
    options: Options


class Unreadable(Struct, frozen=True):
    """The option could not be understood; `reason` says which and why."""

    reason: str


def _count(text: str) -> int:
    return _at_least(int(text), 0)


def _at_least(value: int, least: int) -> int:
    if value < least:
        raise ValueError(f"must be at least {least}")
    return value


def _from_minus_one(text: str) -> int:
    return _at_least(int(text), -1)


def _positive(text: str) -> int:
    return _at_least(int(text), 1)


def _status(text: str) -> int:
    status = int(text)
    if not 100 <= status <= 999:
        raise ValueError("must have three digits")
    return status


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("must lie between 0 and 1")
    return value


def _flag(text: str) -> bool:
    return text.lower() not in ("0", "false", "no")


OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "chunks": ("chunks", _positive),
    "delay": ("delay_ms", _count),
    "ttft": ("ttft_ms", _count),
    "ttfb": ("ttfb_ms", _count),
    "in": ("tokens_input", _count),
    "out": ("tokens_output", _count),
    "cached": ("tokens_cache_read", _count),
    "cache_write": ("tokens_cache_write", _count),
    "reasoning": ("tokens_reasoning", _count),
    "size": ("size_bytes", _count),
    "status": ("status", _status),
    "after": ("after", _from_minus_one),
    "bytes": ("bytes_count", _count),
    "retry_after": ("retry_after", str),
    "fail": ("fail", str.lower),
    "fail_first": ("fail_first", _count),
    "group": ("group", str),
    "rate": ("rate", _probability),
    "seed": ("seed", int),
    "window": ("window", _positive),
    "keepalive": ("keepalive", _flag),
    "dims": ("dimensions", _positive),
    "searches": ("searches", _count),
    "to": ("to", str),
}
"""Option as written → field of `Options` and how its text is read."""

_PREFIX = re.compile(r"simulator[:/]", re.IGNORECASE)
_HEADER = "x-sim"
_NONE = Options()


@lru_cache(maxsize=4096)
def read_model(model: str) -> Spec | Unreadable:
    """Take a model name apart. Upper and lower case are the same, except in option values."""
    name, *options = re.split(r"[;?]", _PREFIX.sub("", model.strip(), count=1), maxsplit=1)
    fields = _fields(re.split(r"[;?&,]", options[0]) if options else ())
    return fields if isinstance(fields, Unreadable) else Spec(name.strip().lower(), replace(_NONE, **fields))


def with_headers(spec: Spec, headers: Mapping[str, str]) -> Spec | Unreadable:
    """Lay the options of the `x-sim` headers over those of the model name."""
    written = [item for name, value in headers.items() if name.startswith(_HEADER) for item in _items(name, value)]
    if not written:
        return spec
    fields = _fields(written)
    return fields if isinstance(fields, Unreadable) else Spec(spec.name, replace(spec.options, **fields))


def _items(header: str, value: str) -> list[str]:
    if header == _HEADER:
        return re.split(r"[,;]", value)
    return [header.removeprefix(_HEADER + "-").replace("-", "_") + "=" + value]


def _fields(written: Iterable[str]) -> dict[str, Any] | Unreadable:
    fields: dict[str, Any] = {}
    for item in filter(None, map(str.strip, written)):
        name, _, text = item.partition("=")
        try:
            field, reader = OPTIONS[name.strip().lower()]
            fields[field] = reader(text.strip())
        except KeyError:
            return Unreadable(f"the simulator has no option '{name}'; it has {', '.join(OPTIONS)}")
        except ValueError as error:
            return Unreadable(f"option '{item}' is wrong: {error}")
    return fields
