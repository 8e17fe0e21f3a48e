"""The audit of dependencies: what it reads, what it says, and that it fails only for what it found."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "audit.py"
PINS = "alpha==1.0 \\\n    --hash=sha256:00\nbeta[extra]==2.0 ; python_version > '3'\n# gamma==3.0\n"


class Osv(BaseHTTPRequestHandler):
    """Knows one advisory, of beta 2.0."""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        bad = {"package": {"name": "beta", "ecosystem": "PyPI"}, "version": "2.0"}
        results = [{"vulns": [{"id": "PYSEC-1"}]} if query == bad else {} for query in queries]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"results": results}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Quiet."""


@pytest.fixture
def osv() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Osv) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def audit(tmp_path: Path, url: str, pins: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "run.txt"
    file.write_text(pins)
    environment = {"PATH": os.environ["PATH"], "TOLLWAY_OSV_URL": url, "NO_PROXY": "*"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(file)], env=environment, capture_output=True, text=True, timeout=60
    )


def test_a_vulnerable_pin_is_named_and_fails(osv: str, tmp_path: Path) -> None:
    run = audit(tmp_path, osv, PINS)
    assert run.returncode == 1
    assert "beta 2.0: PYSEC-1" in run.stdout
    assert "2 packages" in run.stdout


def test_clean_pins_pass(osv: str, tmp_path: Path) -> None:
    run = audit(tmp_path, osv, "alpha==1.0\n")
    assert (run.returncode, "1 packages" in run.stdout) == (0, True)


def test_without_a_network_it_is_skipped_and_says_so(tmp_path: Path) -> None:
    run = audit(tmp_path, "http://127.0.0.1:9", PINS)
    assert (run.returncode, "skipped" in run.stdout) == (0, True)
