"""What makes a model behave otherwise than its name says: outages set from outside, `fail_first`, `rate`, credentials.

Pure but for the counts it keeps: it is told the time and draws no random number.
"""

from hashlib import blake2b

from msgspec import Struct

from .options import Options, Spec, Unreadable, read_model

GROUPS_MAX = 100_000
"""Counters kept; the oldest is forgotten first."""

ANY_MODEL = "*"

CREDENTIALS: dict[str, str] = {"bad-": "fail-key", "broke-": "fail-quota", "limited-": "fail-429-retry-after"}
"""How a credential begins → what any model does with it."""


class Outage(Struct):
    """`model` behaves as `spec` until so many requests came or the time, in Unix milliseconds, is up."""

    model: str
    spec: Spec
    requests_left: int | None = None
    until_ms: int | None = None

    def is_over(self, now_ms: int) -> bool:
        return self.requests_left == 0 or (self.until_ms is not None and now_ms >= self.until_ms)


class Outages:
    """The outages in force, and how many requests each `fail_first` group has seen."""

    def __init__(self) -> None:
        self._outages: dict[str, Outage] = {}
        self._seen: dict[str, int] = {}

    def set(self, outage: Outage) -> None:
        """Replace the model's outage."""
        self._outages[outage.model] = outage

    def clear(self) -> None:
        self._outages.clear()

    def forget_groups(self) -> None:
        self._seen.clear()

    def in_force(self, now_ms: int) -> list[Outage]:
        return [outage for outage in self._outages.values() if not outage.is_over(now_ms)]

    def decide(self, spec: Spec, credential: str, now_ms: int) -> Spec:
        """What this request gets: the credential's fault, else the outage's, else the model's own."""
        fault = next((fault for prefix, fault in CREDENTIALS.items() if credential.startswith(prefix)), None)
        if fault:
            return Spec(fault, Options())
        outage = self._outage(spec.name, now_ms)
        return outage.spec if outage else self._own(spec)

    def _outage(self, model: str, now_ms: int) -> Outage | None:
        outage = self._outages.get(model) or self._outages.get(ANY_MODEL)
        if outage is None or outage.is_over(now_ms):
            return None
        if outage.requests_left is not None:
            outage.requests_left -= 1
        return outage

    def _own(self, spec: Spec) -> Spec:
        if spec.options.fail_first is None and spec.options.rate is None:
            return Spec(faulty(spec), spec.options)
        seen = self._count(f"{spec.name};{spec.options.group}")
        name = faulty(spec, by_default="fail-500") if is_unlucky(spec.options, seen) else healthy(spec)
        return Spec(name, spec.options)

    def _count(self, group: str) -> int:
        """How many requests this group had before this one."""
        seen = self._seen.get(group, 0)
        if seen == 0 and len(self._seen) >= GROUPS_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[group] = seen + 1
        return seen


def is_unlucky(options: Options, seen: int) -> bool:
    """Whether the request after `seen` others of its group fails. Every run with the same seed draws the same."""
    if options.fail_first is not None and seen < options.fail_first:
        return True
    draw = blake2b(f"{options.seed}/{options.group}/{seen}".encode(), digest_size=4).digest()
    return options.rate is not None and int.from_bytes(draw) < options.rate * 2**32


def faulty(spec: Spec, by_default: str | None = None) -> str:
    """The behaviour when things go wrong: `fail=`, else the name if it is a fault, else a status, else the default."""
    if spec.options.fail:
        return "fail-" + spec.options.fail.removeprefix("fail-")
    if spec.name.startswith("fail-"):
        return spec.name
    return "fail-status" if spec.options.status else by_default or spec.name


def healthy(spec: Spec) -> str:
    """The behaviour when things go well."""
    return "echo" if spec.name.startswith("fail-") else spec.name


def outage(model: str, behaviour: str, requests: int | None, until_ms: int | None) -> Outage | Unreadable:
    """An outage from the words of whoever asks for it; `behaviour` may carry options."""
    spec = read_model(behaviour)
    if isinstance(spec, Unreadable):
        return spec
    return Outage(model.lower(), Spec(faulty(spec), spec.options), requests, until_ms)
