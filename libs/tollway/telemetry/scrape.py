"""What Prometheus reads: the board through `prometheus_client`, in a thread of its own."""

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Exposed
from prometheus_client.registry import Collector

from tollway.telemetry.metrics import Board, Count, Family, Level


class _BoardCollector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Exposed]:
        """The board as it stands; `list` copies in one step, so that the loop may go on counting."""
        for name, family in list(self._board.families.items()):
            yield _exposed(name, family)


def _exposed(name: str, family: Family) -> Exposed:
    metric = family.metric
    if metric.kind == "counter":
        return _values(CounterMetricFamily(name, metric.help, labels=metric.labels), family)
    if metric.kind == "gauge":
        return _values(GaugeMetricFamily(name, metric.help, labels=metric.labels), family)
    return _spreads(HistogramMetricFamily(name, metric.help, labels=metric.labels), family)


def _values(
    exposed: CounterMetricFamily | GaugeMetricFamily, family: Family
) -> CounterMetricFamily | GaugeMetricFamily:
    for values, cell in list(family.cells.items()):
        if isinstance(cell, Count | Level):
            exposed.add_metric(values, cell.value)
    return exposed


def _spreads(exposed: HistogramMetricFamily, family: Family) -> HistogramMetricFamily:
    for values, cell in list(family.cells.items()):
        if not isinstance(cell, Count | Level):
            bounds = [*map(repr, cell.bounds), "+Inf"]
            exposed.add_metric(values, list(zip(bounds, accumulate(cell.counts), strict=True)), cell.total)
    return exposed


def registry_of(board: Board) -> CollectorRegistry:
    """The board and the process's own figures (CPU, memory, file descriptors)."""
    registry = CollectorRegistry()
    registry.register(_BoardCollector(board))
    ProcessCollector(registry=registry)
    return registry


def serve(board: Board, *, host: str, port: int) -> Callable[[], None]:
    """Serve `/metrics` from a thread; the result stops it. Raises OSError when the port is taken."""
    server, thread = start_http_server(port, addr=host, registry=registry_of(board))

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)

    return stop
