"""The API against its own specification, by Schemathesis: every operation, right and wrong data, sequences of calls."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.management.conftest import Ledger
from tests.management.live import live_plane

from tollway.wire import queries as q

EXAMPLES = "3"
OPERATIONS_MIN = 45
CASES_MIN = 1_000


@pytest.mark.timeout(300)
def test_no_operation_departs_from_the_specification(environ: dict[str, str], tmp_path: Path) -> None:
    """Left out: whether data that fits the schema is accepted (an id may fit and not exist), and the call that could
    delete the key the run itself uses."""
    ledger = Ledger()
    ledger.answers = {
        "GetBalance": q.Balance(1, 0, 0),
        "ListTransactions": q.TransactionList([]),
        "ListUsage": q.UsageList([]),
        "GetOverview": q.Overview([], 0, 0, 0),
    }
    with live_plane({**environ, "TOLLWAY_DEV_PAYMENTS": "1"}, ledger) as live:
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{live.url}/openapi.json",
            "--header", f"Authorization: Bearer {live.made.api_key}", "--max-examples", EXAMPLES, "--workers", "1",
            "--exclude-checks", "positive_data_acceptance", "--exclude-operation-id", "deleteApiKey",
        ]  # fmt: skip
        plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_COLOR": "1", "COLUMNS": "200"}
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=plain, timeout=280)
    print(run.stdout[run.stdout.find("= SUMMARY") :])
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    [operations] = re.findall(r"Tested: (\d+)", run.stdout)
    [cases] = re.findall(r"(\d+) generated", run.stdout)
    assert int(operations) >= OPERATIONS_MIN
    assert int(cases) >= CASES_MIN
