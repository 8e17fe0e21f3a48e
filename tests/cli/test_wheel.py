"""The wheel: everything that runs and nothing that should not be there."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tollway.store import migrate

ROOT = Path(__file__).parents[2]
DATA_SUFFIXES = {".json", ".mako", ".typed", ".tmpl", ".html", ".css", ".js", ".svg"}
LOOK = """
import sys
sys.path = [path for path in sys.path if not path.startswith({root!r}) or "site-packages" in path]
sys.path.insert(0, {wheel!r})
from tollway.store import migrate
from tollway.cli import __main__
assert {wheel!r} in migrate.__file__, migrate.__file__
print(migrate.tree(), *(migrate.newest(part) for part in migrate.PARTS))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return next(folder.glob("tollway-*.whl"))


def test_every_module_and_migration_of_the_repository_is_in_it(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "services/tollway", "libs/tollway", "migrations"],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=30,
    ).stdout.split()  # fmt: skip
    wanted = {name.replace("services/", "").replace("libs/", "") for name in tracked if name.endswith(".py")}
    wanted = {f"tollway/{name}" if name.startswith("migrations/") else name for name in wanted}
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_nothing_in_it_runs_at_the_interpreters_start_or_is_unexpected(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    unexpected = [
        name
        for name in names
        if not name.startswith("tollway/")
        or not (name.endswith((".py", ".gitkeep")) or Path(name).suffix in DATA_SUFFIXES)
    ]
    assert unexpected == []
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".pth", "sitecustomize.py"))]


def test_it_finds_its_migrations_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "unpacked")
    code = LOOK.format(root=str(ROOT), wheel=str(tmp_path / "unpacked"))
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    newest = [migrate.newest(part) for part in migrate.PARTS]
    assert ended.stdout.split() == [str(tmp_path / "unpacked" / "tollway" / "migrations"), *newest]
