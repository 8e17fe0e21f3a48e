"""The JavaScript SDKs of OpenAI and Anthropic and the Vercel AI SDK, with Node's own test runner."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.sdk.conftest import HOUSES, Street

SCRIPTS: Final = Path(__file__).parent / "js"
NODE_MAJOR_MIN: Final = 20
INSTALL_WITHIN_S: Final = 90
RUN_WITHIN_S: Final = 110
TESTS_MIN: Final = 108
NPM: Final = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--omit=optional", "--prefer-offline")


def node() -> str:
    """Node, or the test is skipped."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.lstrip("v").split(".")[0]) < NODE_MAJOR_MIN:
        pytest.skip(f"node {said.strip()} is older than {NODE_MAJOR_MIN}")
    return found


def packages() -> Path:
    """A directory with the pinned packages: from the cache, or installed there now. Skips where npm cannot."""
    pins = (SCRIPTS / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tollway-tests"
    installed = cache / f"sdk-js-{hashlib.sha256(pins).hexdigest()[:12]}"
    if not installed.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as made:
            _install(Path(made), pins)
            Path(made).rename(installed)
            Path(made).mkdir()  # what the context manager removes
    return installed


def _install(directory: Path, pins: bytes) -> None:
    (directory / "package.json").write_bytes(pins)
    try:
        done = subprocess.run(
            ["npm", "install", *NPM], cwd=directory, capture_output=True, text=True, timeout=INSTALL_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install took more than {INSTALL_WITHIN_S} s")
    if done.returncode != 0:
        pytest.skip(f"npm install is not possible here: {done.stderr.strip().splitlines()[-1:]}")


@pytest.mark.timeout(INSTALL_WITHIN_S + RUN_WITHIN_S + 20)
def test_the_javascript_sdks_are_served_as_by_their_own_providers(street: Street, tmp_path: Path) -> None:
    program, modules = node(), packages() / "node_modules"
    shutil.copytree(SCRIPTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "node_modules").symlink_to(modules)
    told = {
        "TOLLWAY_URL": street.gateway.base_url,
        "TOLLWAY_KEY": street.key,
        "TOLLWAY_PROVIDERS": ",".join(HOUSES.values()),
    }
    done = subprocess.run(
        [program, "--test", "--test-reporter=spec"],
        cwd=tmp_path,
        env=os.environ | told,
        capture_output=True,
        text=True,
        timeout=RUN_WITHIN_S,
    )
    assert done.returncode == 0, done.stdout[done.stdout.find("failing tests:") :] + done.stderr
    passed = re.search(r"^. pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= TESTS_MIN
