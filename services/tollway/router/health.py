"""Which targets are out, may be probed, or serve: circuits per (provider, model, credential), per credential and per
provider, fed by what adapters saw. Deterministic: the time is handed in, changes come out.

    closed ── trips ──▶ open ── cool-down over, or a success ──▶ half open ── success ──▶ closed
                          ▲                                          │ failure
                          └──────────────────────────────────────────┘

A circuit trips on TRIP_IN_ROW failures in a row, or when half of TRIP_COUNT or more recent attempts failed; at once
where the provider named a wait (`Retry-After`) or the credential is bad or out of quota. Half open, exactly one request
may try (`claim`); if nobody does for PAROLE_MS the circuit closes on parole: one more failure opens it again.
"""

from collections.abc import Container, Iterator
from typing import Final

import msgspec

from tollway.dialects.faults import FAULTS, FaultRule
from tollway.wire.plan import HealthChanged, HealthReport, HealthSeen, HealthState, TargetHealth

TRIP_IN_ROW: Final = 5
TRIP_COUNT: Final = 20
ROW_GAP_MS: Final = 30_000
BUCKET_MS: Final = 10_000
COOL_MS: Final = 2_000
COOL_MS_MAX: Final = 8_000
MISSING_COOL_MS: Final = 60_000
NAMED_COOL_MS_MAX: Final = 3_600_000
PROBE_MS: Final = 30_000
PAROLE_MS: Final = 60_000
FORGET_MS: Final = 600_000
CIRCUITS_MAX: Final = 8_192

Key = tuple[str, str, str]
"""(provider, model, credential or address); a credential's circuit has no model, a provider's has neither."""

_RULES: Final[dict[str, FaultRule]] = {str(name): rule for name, rule in FAULTS.items()}
_UNKNOWN: Final = FaultRule("no", "yes", "target")


class Circuit(msgspec.Struct):
    """What is known of one key. Times are Unix ms.

    `until_ms`: open: when it is half open; half open: until when a probe is under way, 0 if none is. `strikes`: times
    it opened without closing. `seen_ms`: its last failure. `good`, `bad`: attempts since `bucket_ms`.
    """

    state: HealthState = "closed"
    until_ms: int = 0
    since_ms: int = 0
    strikes: int = 0
    in_row: int = 0
    seen_ms: int = 0
    bucket_ms: int = 0
    good: int = 0
    bad: int = 0
    good_before: int = 0
    bad_before: int = 0
    ttft_ms: int = 0
    reason: str = ""

    @property
    def successes(self) -> int:
        """Good attempts of the last 10 to 20 s."""
        return self.good + self.good_before

    @property
    def failures(self) -> int:
        """Bad attempts of the last 10 to 20 s."""
        return self.bad + self.bad_before

    @property
    def is_free(self) -> bool:
        """Half open, and nobody is trying."""
        return self.state == "half_open" and not self.until_ms


class Standing(msgspec.Struct, frozen=True):
    """How a candidate stands: the worst of its circuits."""

    state: HealthState = "closed"
    is_free: bool = False
    reason: str = ""


FINE: Final = Standing()


class Health:
    """All circuits. `shared`: providers that are the same for every account, so that their whole can be judged; an
    account's own provider is judged by its credentials alone."""

    def __init__(self, shared: Container[str], *, version: int = 0) -> None:
        self.version = version
        self.trouble: set[Key] = set()
        self._circuits: dict[Key, Circuit] = {}
        self._shared = shared

    # -- what was seen

    def seen(self, note: HealthSeen, now_ms: int) -> list[HealthChanged]:
        """Learn from attempts; a note of mixed outcome is no row of failures."""
        keys = self._keys(note.provider, note.model, note.credential_id)
        changes = [change for key in keys for change in self._succeeded(key, note, now_ms)] if note.successes else []
        return changes + (self._failed(note, now_ms) if note.failures else [])

    def _keys(self, provider: str, model: str, credential_id: str) -> tuple[Key, ...]:
        own = ((provider, model, credential_id), (provider, "", credential_id))
        return (*own, (provider, "", "")) if provider in self._shared else own

    def _succeeded(self, key: Key, note: HealthSeen, now_ms: int) -> Iterator[HealthChanged]:
        circuit = self._circuit(key, now_ms)
        circuit.good += note.successes
        circuit.in_row = 0
        circuit.ttft_ms = _blend(circuit.ttft_ms, note.ttft_ms_mean, note.successes)
        if circuit.state == "open":
            yield self._half_open(key, circuit, now_ms)
        elif circuit.state == "half_open":
            yield self._close(key, circuit, now_ms)

    def _failed(self, note: HealthSeen, now_ms: int) -> list[HealthChanged]:
        breaker = _RULES.get(note.error_class, _UNKNOWN).breaker
        target: Key = (note.provider, note.model, note.credential_id)
        if breaker == "none":
            return []
        if breaker == "credential":
            until_ms = max(note.cool_until_ms, now_ms + MISSING_COOL_MS)
            return self._open((note.provider, "", note.credential_id), note.error_class, until_ms, now_ms)
        changes = self._count_failures(target, note, now_ms)
        if note.error_class == "connect" and note.provider in self._shared:
            changes += self._count_failures((note.provider, "", ""), note, now_ms)
        return changes

    def _count_failures(self, key: Key, note: HealthSeen, now_ms: int) -> list[HealthChanged]:
        circuit = self._circuit(key, now_ms)
        is_row = now_ms - circuit.seen_ms <= ROW_GAP_MS and not note.successes
        circuit.in_row = (circuit.in_row if is_row else 0) + note.failures * (not note.successes)
        circuit.bad += note.failures
        circuit.seen_ms = now_ms
        is_named = note.cool_until_ms > now_ms and bool(key[1])
        if circuit.state == "open" and not is_named:
            return []
        if is_named or circuit.state == "half_open" or _is_tripped(circuit):
            return self._open(key, note.error_class, note.cool_until_ms if is_named else 0, now_ms)
        return []

    def _circuit(self, key: Key, now_ms: int) -> Circuit:
        circuit = self._circuits.get(key)
        if circuit is None:
            if len(self._circuits) >= CIRCUITS_MAX:
                self._forget_oldest()
            circuit = self._circuits[key] = Circuit(bucket_ms=now_ms, seen_ms=now_ms)
        _turn(circuit, now_ms)
        return circuit

    def _forget_oldest(self) -> None:
        oldest = min(self._circuits, key=lambda key: self._circuits[key].bucket_ms)
        self._circuits.pop(oldest)
        self.trouble.discard(oldest)

    # -- changes of state

    def _open(self, key: Key, reason: str, named_until_ms: int, now_ms: int) -> list[HealthChanged]:
        """Take out; a circuit that is out already stays so for longer, which changes no plan."""
        circuit = self._circuit(key, now_ms)
        is_out = circuit.state == "open"
        until_ms = min(named_until_ms, now_ms + NAMED_COOL_MS_MAX) or now_ms + cool_ms(reason, circuit.strikes)
        circuit.until_ms = max(until_ms, circuit.until_ms) if is_out else until_ms
        if is_out:
            return []
        circuit.state, circuit.since_ms, circuit.reason = "open", now_ms, reason
        circuit.strikes += 1
        self.trouble.add(key)
        return [self._changed(key, circuit)]

    def _half_open(self, key: Key, circuit: Circuit, now_ms: int) -> HealthChanged:
        circuit.state, circuit.since_ms, circuit.until_ms = "half_open", now_ms, 0
        return self._changed(key, circuit)

    def _close(self, key: Key, circuit: Circuit, now_ms: int, *, in_row: int = 0) -> HealthChanged:
        circuit.state, circuit.since_ms, circuit.until_ms = "closed", now_ms, 0
        circuit.seen_ms = now_ms
        circuit.in_row, circuit.strikes = in_row, circuit.strikes if in_row else 0
        circuit.bad = circuit.bad_before = 0
        self.trouble.discard(key)
        return self._changed(key, circuit)

    def _changed(self, key: Key, circuit: Circuit) -> HealthChanged:
        self.version += 1
        return HealthChanged(self.version, *key, state=circuit.state, until_ms=circuit.until_ms)

    # -- time

    def tick(self, now_ms: int) -> list[HealthChanged]:
        """What the passing of time changes: cool-downs end, probes that nobody answered are given up."""
        return [change for key in sorted(self.trouble) for change in self._aged(key, self._circuits[key], now_ms)]

    def _aged(self, key: Key, circuit: Circuit, now_ms: int) -> Iterator[HealthChanged]:
        is_due = now_ms >= circuit.until_ms
        if circuit.state == "open" and is_due:
            yield self._half_open(key, circuit, now_ms)
        elif circuit.is_free and now_ms - circuit.since_ms >= PAROLE_MS:
            yield self._close(key, circuit, now_ms, in_row=TRIP_IN_ROW - 1)
        elif circuit.state == "half_open" and circuit.until_ms and is_due:
            yield self._half_open(key, circuit, now_ms)

    # -- what plans ask

    def standing(self, provider: str, model: str, credential_id: str) -> Standing:
        """How a candidate stands."""
        found = [self._circuits[key] for key in self._keys(provider, model, credential_id) if key in self.trouble]
        if not found:
            return FINE
        worst = next((circuit for circuit in found if circuit.state == "open"), found[0])
        return Standing(worst.state, all(circuit.is_free for circuit in found), worst.reason)

    def claim(self, provider: str, model: str, credential_id: str, now_ms: int) -> list[HealthChanged]:
        """One request will probe this candidate; until it is answered nobody else may."""
        keys = [key for key in self._keys(provider, model, credential_id) if key in self.trouble]
        return [self.lease(key, now_ms + PROBE_MS) for key in keys]

    def lease(self, key: Key, until_ms: int) -> HealthChanged:
        """A probe is under way, by us or by another router."""
        circuit = self._circuits[key]
        circuit.until_ms = until_ms
        return self._changed(key, circuit)

    def heard(self, change: HealthChanged, now_ms: int) -> None:
        """Another router let somebody probe."""
        key = (change.provider, change.model, change.credential_id)
        is_probe = change.state == "half_open" and change.until_ms > now_ms
        if is_probe and key in self.trouble and self._circuits[key].is_free:
            self._circuits[key].until_ms = change.until_ms

    def lately(self, provider: str, model: str, credential_id: str, now_ms: int) -> Circuit | None:
        """Counts and speed of a candidate, None if it was not tried lately."""
        circuit = self._circuits.get((provider, model, credential_id))
        if circuit is None or now_ms - circuit.bucket_ms > FORGET_MS:
            return None
        _turn(circuit, now_ms)
        return circuit

    def report(self, now_ms: int, *, provider: str = "") -> HealthReport:
        """Everything known, those in trouble first."""
        keys = [key for key in self._circuits if not provider or key[0] == provider]
        keys.sort(key=lambda key: (key not in self.trouble, key))
        return HealthReport(self.version, tuple(self._told(key, now_ms) for key in keys))

    def _told(self, key: Key, now_ms: int) -> TargetHealth:
        circuit = self._circuit(key, now_ms)
        reason = circuit.reason if key in self.trouble else ""
        counts = (circuit.successes, circuit.failures, circuit.ttft_ms)
        return TargetHealth(*key, circuit.state, circuit.until_ms, reason, *counts)


def cool_ms(reason: str, strikes: int) -> int:
    """How long a circuit stays open when nobody named a time: doubled at each failed probe, up to a bound."""
    if reason == "model_missing":
        return MISSING_COOL_MS
    return min(COOL_MS << min(strikes, 10), COOL_MS_MAX)


def _is_tripped(circuit: Circuit) -> bool:
    total = circuit.successes + circuit.failures
    return circuit.in_row >= TRIP_IN_ROW or (total >= TRIP_COUNT and circuit.failures * 2 >= total)


def _turn(circuit: Circuit, now_ms: int) -> None:
    """Start the next bucket when the current one is full; both are empty after a pause."""
    age_ms = now_ms - circuit.bucket_ms
    if age_ms < BUCKET_MS:
        return
    is_next = age_ms < 2 * BUCKET_MS
    circuit.good_before, circuit.bad_before = (circuit.good, circuit.bad) if is_next else (0, 0)
    circuit.good = circuit.bad = 0
    circuit.bucket_ms = now_ms


def _blend(old_ms: int, new_ms: int, count: int) -> int:
    """A running mean in which `count` new attempts weigh a fifth each, at most all."""
    weight = min(5, count)
    return old_ms if not new_ms else new_ms if not old_ms else (old_ms * (5 - weight) + new_ms * weight) // 5
