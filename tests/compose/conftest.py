"""The compose file as data, and a container engine if one runs."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip where nothing can run containers: the rest of the suite runs the same services as processes."""
    if shutil.which("docker") is None:
        pytest.skip("no container engine: docker is not installed")
    asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=30, check=False)
    if asked.returncode != 0:
        pytest.skip("no container engine: docker is installed but no daemon answers")
