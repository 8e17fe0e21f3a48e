# ruff: noqa: T201  a script speaks
"""Are the pinned dependencies known to be vulnerable? Asks OSV (osv.dev) about every pin of a requirements file.

    python requirements/audit.py requirements/run.txt

Exits 1 with a line for each advisory, 0 when there is none, and 0 with the word "skipped" when OSV cannot be asked:
a check must not fail for want of a network. TOLLWAY_OSV_URL names another address of it.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx

OSV_URL = "https://api.osv.dev"
TIMEOUT_S = 10.0
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def main(path: Path) -> int:
    """The exit code."""
    pins = PIN.findall(path.read_text())
    try:
        found = asked(pins)
    except (httpx.HTTPError, ValueError) as error:
        print(f"audit: skipped, OSV cannot be asked ({type(error).__name__})")
        return 0
    for (name, version), advisories in found.items():
        print(f"audit: {name} {version}: {', '.join(advisories)}")
    print(f"audit: {len(pins)} packages of {path}, {len(found)} with advisories")
    return 1 if found else 0


def asked(pins: list[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Advisories by package and version; packages without any are left out. Raises httpx.HTTPError, ValueError."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pins]
    url = os.environ.get("TOLLWAY_OSV_URL", OSV_URL)
    answer = httpx.post(f"{url}/v1/querybatch", json={"queries": queries}, timeout=TIMEOUT_S)
    results: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    named = zip(pins, results, strict=True)
    return {pin: [it["id"] for it in result["vulns"]] for pin, result in named if result.get("vulns")}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
