"""The driver tells good answers from bad ones: a benchmark that counts failures as answers measures nothing."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from benchmarks.cases import Target, drive, job
from benchmarks.driver import Job, has_content, quantile_ms
from benchmarks.processes import name_of, tree
from benchmarks.profile import summary

from tests.conftest import free_port


@pytest.fixture(scope="module")
def simulator() -> Iterator[Target]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tollway.simulator", "--port", str(port)], stdout=subprocess.DEVNULL
    )
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield Target(port, "simulator", "")
    process.terminate()
    process.wait(10)


def closed(target: Target, model: str, *, is_stream: bool = False) -> Job:
    return job(target, model, is_stream=is_stream, mode="closed", concurrency=3, seconds=0.3)


def test_json_answers_are_counted_with_their_times(simulator: Target) -> None:
    result = drive(closed(simulator, "echo"))
    assert result.count > 3
    assert result.failed == {}
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms


def test_streams_are_followed_to_their_end_with_the_time_of_the_first_content(simulator: Target) -> None:
    result = drive(closed(simulator, "echo;chunks=20;delay=5", is_stream=True))
    assert result.failed == {}
    assert result.chunks_mean >= 20
    assert 0 < result.first_p50_ms < result.p50_ms


def test_a_rate_is_kept(simulator: Target) -> None:
    result = drive(job(simulator, "echo", mode="open", rate=50, concurrency=4, seconds=1))
    assert result.count == 50


@pytest.mark.parametrize(
    ("model", "is_stream", "fault"),
    [
        ("fail-503", False, "503"),
        ("fail-no-done", True, "no_done"),
        ("fail-cut", True, "lost"),
        ("fail-reset", False, "lost"),
    ],
)
def test_what_is_no_good_answer_is_counted_as_its_fault(
    simulator: Target, model: str, is_stream: bool, fault: str
) -> None:
    result = drive(closed(simulator, model, is_stream=is_stream))
    assert result.count == 0
    assert set(result.failed) == {fault}
    assert result.failed[fault] > 0


def test_the_first_content_is_not_the_empty_delta_before_it() -> None:
    assert not has_content(b'data: {"delta":{"role":"assistant","content":""}}\n\n')
    assert not has_content(b'"content":"')
    assert has_content(b'{"content":""}\n\ndata: {"delta":{"content":"a"}}')


def test_quantiles_of_nothing_are_nothing() -> None:
    assert quantile_ms([], 0.5) == 0
    assert quantile_ms([0.001, 0.002, 0.003], 0.5) == 2.0
    assert quantile_ms([0.001, 0.002, 0.003], 1.0) == 3.0


def test_processes_are_called_what_they_are() -> None:
    assert name_of(["python", "-m", "tollway.ledger"]) == "ledger"
    assert name_of(["/x/nats-server", "-c", "nats.conf"]) == "nats"
    assert name_of(["python", "-m", "tollway.cli", "up"]) == "up"
    sleeping = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "tollway.auth"]) for _ in "ab"]
    try:
        names = tree(sleeping[0].pid) | tree(sleeping[1].pid)
    finally:
        for process in sleeping:
            process.kill()
            process.wait()
    assert list(names.values()) == ["auth", "auth"]


def test_a_profile_is_summed_by_function() -> None:
    text = summary("main (a.py:1);work (a.py:2) 3\nmain (a.py:1) 1\n")
    assert "75.0   75.0  work (a.py:2)" in text
    assert "25.0  100.0  main (a.py:1)" in text
