"""The table of metrics, and the cells that count: bound once, then an addition each.

`prometheus_client` speaks to Prometheus, but its counters and histograms take a lock per call (0.5 and 1.5 µs); cells
here take none (0.05 and 0.3 µs) and are read when scraped. Each cell is therefore written by one thread only.
Labels are bounded: past `series_max` label sets of a metric, the rest is counted under "other".
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

OTHER: Final = "other"

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_STAGE_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
# the GenAI conventions advise these bounds
_OPERATION_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = (1.0, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_BATCH: Final = (1.0, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metric(msgspec.Struct, frozen=True):
    """One row of the table. Counters are exposed with `_total` appended, as Prometheus wants it."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    series_max: int = 200


METRICS: Final[dict[str, Metric]] = {
    # every process
    "tollway_ready": Metric("gauge", "1 if the process can serve"),
    "tollway_build_info": Metric("gauge", "Always 1; the version is a label", ("version",)),
    "tollway_loop_lag_seconds": Metric("histogram", "How late the event loop runs a timer", buckets=_STAGE_SECONDS),
    "tollway_bus_messages": Metric("counter", "Messages received and sent", ("direction",)),
    "tollway_bus_asks": Metric("counter", "Questions asked over the bus", ("subject", "outcome")),
    "tollway_bus_expired": Metric("counter", "Commands dropped because their deadline had passed"),
    "tollway_bus_reconnects": Metric("counter", "Times the link to the bus was lost and came back"),
    "tollway_bus_connected": Metric("gauge", "1 while the link to the bus is up"),
    "tollway_spans": Metric("counter", "Spans by fate: exported, remembered, kept", ("fate",)),
    "tollway_telemetry_dropped": Metric("counter", "Names that are not declared, so not reported", ("what",)),
    # ingress
    "tollway_requests": Metric("counter", "Requests by surface, status and outcome", ("surface", "status", "outcome")),
    "tollway_requests_in_flight": Metric("gauge", "Requests begun and not ended"),
    "tollway_request_seconds": Metric("histogram", "First byte in to last byte out", ("surface", "stream"), _SECONDS),
    "tollway_holds_ahead": Metric("gauge", "Holds opened ahead that wait for their requests"),
    "tollway_first_piece_seconds": Metric("histogram", "First byte in to first byte of a stream out", (), _SECONDS),
    "tollway_stage_seconds": Metric("histogram", "Share of auth, plan, hold in a request", ("stage",), _STAGE_SECONDS),
    "tollway_refusals": Metric("counter", "Refusals by code", ("code",)),
    "tollway_failovers": Metric("counter", "Requests that took more than one candidate"),
    "tollway_client_aborts": Metric("counter", "Clients that hung up before the end"),
    "tollway_remembered": Metric("counter", "Look-ups of remembered answers", ("what", "outcome")),
    "tollway_request_bytes": Metric("counter", "Bytes of request bodies"),
    "tollway_response_bytes": Metric("counter", "Bytes of answers"),
    "tollway_cost_nusd": Metric("counter", "Charges told to callers, nano-dollars", ("provider",)),
    "tollway_shed": Metric("counter", "Requests turned away for want of room: full, share, adapter", ("reason",)),
    "tollway_connections_closed": Metric("counter", "Connections that were cut off, by reason", ("reason",)),
    "tollway_connections": Metric("gauge", "Open client connections"),
    # auth
    "tollway_key_checks": Metric("counter", "Verdicts on keys", ("kind", "outcome")),
    "tollway_config_changes": Metric("counter", "Changes of configuration", ("kind",)),
    # router
    "tollway_plans": Metric("counter", "Plans made", ("outcome",)),
    "tollway_candidates_out": Metric("gauge", "Candidates taken out for a while", ("provider",)),
    # adapter
    "tollway_attempts": Metric("counter", "Attempts", ("provider", "completion", "retry_action")),
    "tollway_attempts_in_flight": Metric("gauge", "Attempts running"),
    "tollway_attempt_errors": Metric("counter", "Failed attempts by class of error", ("provider", "error_type")),
    "gen_ai_client_operation_duration_seconds": Metric(
        "histogram", "Attempts, start to end", ("gen_ai_provider_name", "gen_ai_operation_name"), _OPERATION_SECONDS
    ),
    "gen_ai_client_operation_time_to_first_chunk_seconds": Metric(
        "histogram", "Attempts of streams, start to first chunk", ("gen_ai_provider_name",), _OPERATION_SECONDS
    ),
    "gen_ai_client_token_usage": Metric(
        "histogram", "Tokens of an attempt", ("gen_ai_provider_name", "gen_ai_token_type"), _TOKENS
    ),
    "tollway_outbox_facts": Metric("gauge", "Facts not yet known to be settled"),
    "tollway_outbox_oldest_seconds": Metric("gauge", "Age of the oldest of them"),
    "tollway_outbox_syncs": Metric("counter", "fdatasync calls of the outbox"),
    "tollway_outbox_sync_seconds": Metric("histogram", "What one takes", (), _STAGE_SECONDS),
    "tollway_credit_stalls": Metric("counter", "Times a slow client stopped the reading from its provider"),
    # ledger
    "tollway_holds": Metric("counter", "Decisions on holds", ("outcome",)),
    "tollway_holds_open": Metric("gauge", "Holds neither settled nor voided"),
    "tollway_settled": Metric("counter", "Holds settled, by certainty of the usage", ("certainty",)),
    "tollway_voided": Metric("counter", "Holds ended without a charge", ("reason",)),
    "tollway_charged_nusd": Metric("counter", "Charges, nano-dollars"),
    "tollway_blocks": Metric("counter", "Blocks committed"),
    "tollway_commit_blocks": Metric("histogram", "Blocks per commit", (), _BATCH),
    "tollway_commit_seconds": Metric("histogram", "What a commit takes", (), _STAGE_SECONDS),
    "tollway_relay_lag": Metric("gauge", "Blocks not yet on the LEDGER stream"),
    "tollway_views_lag": Metric("gauge", "Blocks not yet in the read models"),
    "tollway_ledger_halted": Metric("gauge", "1 if the ledger refuses to go on, because something does not add up"),
    "tollway_audit_findings": Metric("counter", "Things the auditor found", ("kind",)),
}


class Count:
    """A counter's cell."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """Count. 0.05 µs."""
        self.value += amount


class Level:
    """A gauge's cell. `read` replaces the value at each scrape; it runs in the scraping thread and must not block."""

    __slots__ = ("_value", "read")

    def __init__(self) -> None:
        self._value: float = 0
        self.read: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """The level now."""
        self._value = value

    def add(self, amount: float = 1) -> None:
        """Raise the level; negative amounts lower it."""
        self._value += amount

    @property
    def value(self) -> float:
        """The level now."""
        return self._value if self.read is None else self.read()


class Spread:
    """A histogram's cell. `counts` has one more entry than there are bounds: what lies above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value in its bucket. 0.3 µs."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


Cell: TypeAlias = Count | Level | Spread
_MAKE: Final[dict[Kind, Callable[[Metric], Cell]]] = {
    "counter": lambda _metric: Count(),
    "gauge": lambda _metric: Level(),
    "histogram": lambda metric: Spread(metric.buckets),
}


class Family:
    """The cells of one metric by their label values."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.cells: dict[tuple[str, ...], Cell] = {}

    def at(self, *values: str) -> Cell:
        """The cell of these label values, in the order of the table."""
        return self.cells.get(values) or self._new(values)

    def _new(self, values: tuple[str, ...]) -> Cell:
        if len(values) != len(self.metric.labels):
            raise ValueError(f"expected values for {self.metric.labels}, got {values}")
        if len(self.cells) >= self.metric.series_max:
            values = (OTHER,) * len(values)
        return self.cells.setdefault(values, _MAKE[self.metric.kind](self.metric))


class Board:
    """All metrics of one process. Two services in one process (tests) have two boards."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def family(self, name: str, kind: Kind) -> Family:
        """A declared metric. Raises KeyError for one that is not, TypeError for one of another kind: both are bugs."""
        found = self.families.get(name)
        if found is None:
            found = self.families[name] = Family(METRICS[name])
        if found.metric.kind != kind:
            raise TypeError(f"{name} is a {found.metric.kind}, not a {kind}")
        return found

    def counter(self, name: str, *values: str) -> Count:
        """The cell to count in; keep it, or ask each time (0.3 µs)."""
        cell = self.family(name, "counter").at(*values)
        assert isinstance(cell, Count)
        return cell

    def gauge(self, name: str, *values: str) -> Level:
        """The cell to set, or to give a `read`."""
        cell = self.family(name, "gauge").at(*values)
        assert isinstance(cell, Level)
        return cell

    def histogram(self, name: str, *values: str) -> Spread:
        """The cell to observe in."""
        cell = self.family(name, "histogram").at(*values)
        assert isinstance(cell, Spread)
        return cell
