"""`python -m tests.mutants [WORDS…]`: break a copy, run the tests that should notice, print who survived.

Exit code 1 if a mutant survives or no longer applies. WORDS choose mutants by their names.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
TEST_SECONDS_MAX = 240


def main(words: list[str]) -> int:
    """Run them all, or those whose name has one of the words."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    survivors: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copy = Path(directory) / "copy"
        copy_tree(copy)
        for number, mutant in enumerate(chosen, 1):
            began = time.monotonic()
            killer = kill(copy, mutant)
            told = f"killed by {killer}" if killer else "SURVIVED"
            print(f"[{number}/{len(chosen)}] {mutant.name}: {told} ({time.monotonic() - began:.0f} s)", flush=True)
            survivors += [] if killer else [mutant.name]
    print(f"mutants: killed {len(chosen) - len(survivors)} / total {len(chosen)}")
    for name in survivors:
        print(f"survived: {name}")
    return 1 if survivors else 0


def copy_tree(copy: Path) -> None:
    """The files that git knows, as they are in the work tree."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def kill(copy: Path, mutant: Mutant) -> str:
    """The first test file that fails on the mutant; "" if none does."""
    path = copy / mutant.path
    sound = path.read_text()
    if sound.count(mutant.before) != 1:
        raise SystemExit(f"the mutant no longer applies, bring it up to date: {mutant.name}")
    path.write_text(sound.replace(mutant.before, mutant.after))
    try:
        return next((test for test in mutant.tests if fails(copy, test)), "")
    finally:
        path.write_text(sound)


def fails(copy: Path, test: str) -> bool:
    """Whether the test fails there. One that hangs has noticed too."""
    paths = os.pathsep.join(str(copy / part) for part in ("services", "libs", "."))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", test, "-k", "not postgresql"]
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=TEST_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    if ran.returncode not in (0, 1, 5):
        raise SystemExit(f"{test} could not run: {ran.stdout.decode()[-2000:]}{ran.stderr.decode()[-500:]}")
    return ran.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
