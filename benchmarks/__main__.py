"""`python -m benchmarks`: start everything, measure, print the table."""

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.cases import Bench
from benchmarks.profile import NoProfiler, profile
from benchmarks.report import table
from benchmarks.system import NotStarted, System

QUICK: float = 0.12


def main() -> int:
    """Run it; exit code 1 if the gateway did not start."""
    asked = arguments()
    began = time.monotonic()
    try:
        with System(data=asked.data) as system:
            bench = Bench(system, scale=QUICK if asked.quick else 1.0)
            start_s = time.monotonic() - began
            if asked.profile:
                print(
                    profile(system, bench, asked.profile, seconds=asked.seconds, out=asked.out.with_suffix(".stacks"))
                )
                return 0
            report = bench.run(start_s, machine())
    except (NotStarted, NoProfiler) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(table(report))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    print(f"({time.monotonic() - began:.0f} s; written to {asked.out})")
    return 0


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="twenty seconds, rough figures")
    parser.add_argument("--data", type=Path, help="data directory (default: a fresh one, removed at the end)")
    parser.add_argument(
        "--out", type=Path, default=Path(".tollway/benchmark.json"), help="where the figures go as JSON"
    )
    parser.add_argument("--profile", metavar="SERVICE", help="sample one service with py-spy instead of the table")
    parser.add_argument("--seconds", type=float, default=10, help="how long to sample")
    return parser.parse_args()


def machine() -> dict[str, str]:
    """What it ran on; a load above 1 means others were using the cores."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def commit() -> str:
    """The commit that was measured, `+` for changes on top of it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
