import urllib.request

import pytest

from tests.conftest import free_port
from tollway import settings
from tollway.telemetry import Telemetry
from tollway.telemetry.metrics import METRICS, OTHER, Board
from tollway.telemetry.scrape import registry_of


def sample(board: Board, name: str, **labels: str) -> float | None:
    return registry_of(board).get_sample_value(name, labels)


def test_counters_come_out_with_their_labels() -> None:
    board = Board()
    board.counter("tollway_holds", "opened").add()
    board.counter("tollway_holds", "opened").add(2)
    board.counter("tollway_holds", "insufficient_credits").add()
    assert sample(board, "tollway_holds_total", outcome="opened") == 3
    assert sample(board, "tollway_holds_total", outcome="insufficient_credits") == 1


def test_a_counter_is_there_from_the_moment_it_is_bound() -> None:
    board = Board()
    board.counter("tollway_blocks")
    assert sample(board, "tollway_blocks_total") == 0


def test_gauges_are_set_or_read_when_scraped() -> None:
    board = Board()
    board.gauge("tollway_holds_open").set(5)
    board.gauge("tollway_holds_open").add(-2)
    facts = [1, 2, 3]
    board.gauge("tollway_outbox_facts").read = lambda: float(len(facts))
    assert sample(board, "tollway_holds_open") == 3
    assert sample(board, "tollway_outbox_facts") == 3
    facts.clear()
    assert sample(board, "tollway_outbox_facts") == 0


def test_histograms_count_a_value_in_every_bucket_that_holds_it() -> None:
    board = Board()
    cell = board.histogram("tollway_commit_blocks")
    for value in (1, 2, 2.5, 600):
        cell.observe(value)
    assert sample(board, "tollway_commit_blocks_bucket", le="1.0") == 1
    assert sample(board, "tollway_commit_blocks_bucket", le="2") == 2
    assert sample(board, "tollway_commit_blocks_bucket", le="512") == 3
    assert sample(board, "tollway_commit_blocks_bucket", le="+Inf") == 4
    assert sample(board, "tollway_commit_blocks_count") == 4
    assert sample(board, "tollway_commit_blocks_sum") == 605.5


def test_labels_beyond_the_bound_are_counted_together_and_none_is_lost() -> None:
    board = Board()
    limit = METRICS["tollway_refusals"].series_max
    for number in range(limit + 50):
        board.counter("tollway_refusals", f"code-{number}").add()
    assert sample(board, "tollway_refusals_total", code=OTHER) == 50
    assert len(board.families["tollway_refusals"].cells) == limit + 1


def test_what_is_not_declared_or_of_another_kind_is_a_bug() -> None:
    board = Board()
    with pytest.raises(KeyError):
        board.counter("tollway_invented")
    with pytest.raises(TypeError):
        board.gauge("tollway_holds", "opened")
    with pytest.raises(ValueError, match="outcome"):
        board.counter("tollway_holds")


def test_prometheus_reads_the_figures_over_http() -> None:
    port = free_port()
    told = settings.read("ledger", {"TOLLWAY_METRICS_PORT": str(port)})
    telemetry = Telemetry(told)
    telemetry.serve_metrics()
    telemetry.counter("tollway_blocks").add(7)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(settings.SettingsError, match="TOLLWAY_METRICS_PORT"):
            Telemetry(told).serve_metrics()
    finally:
        telemetry.stop()
    assert "tollway_blocks_total 7.0" in text
    assert "process_cpu_seconds_total" in text
    assert "# TYPE tollway_blocks_total counter" in text
