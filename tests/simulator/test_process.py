"""The simulator as a process of its own."""

import json
import signal
import subprocess
import sys

import httpx

from tollway.simulator import models

COMMAND = [sys.executable, "-m", "tollway.simulator"]


def test_it_says_where_it_listens_and_stops_on_sigterm() -> None:
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "simulator.ready"
        assert httpx.get(f"{ready['url']}/_sim/health").json()["status"] == "ok"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_it_prints_its_price_list() -> None:
    printed = subprocess.run([*COMMAND, "--models-prices"], capture_output=True, check=True, text=True)
    assert json.loads(printed.stdout) == models()
