"""The disk fills up under a running system: what cannot be kept is not promised, and all goes on once there is room."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.checker import audit
from tests.faults.house import House
from tests.faults.load import Ask, Storm, attempt_once

SIZE_MB: Final = 160
BLOCK: Final = bytes(64 * 1024)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave not a byte."""
    filler = place / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for size in (len(BLOCK), 4096, 512, 1):
        while True:
            try:
                os.write(file, BLOCK[:size])
            except OSError:
                break
    os.close(file)
    return filler


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_full_disk_refuses_requests_and_loses_nothing(small_disk: Path) -> None:
    house = House(small_disk)
    try:
        house.start()
        wallets = [house.wallet() for _ in range(2)]
        with Storm(house.base_url, wallets, requests=120, rate=10) as storm:
            time.sleep(2)
            filler = fill(small_disk)
            house.faults.append("disk full")
            time.sleep(4)
            refused = attempt_once(house.base_url, wallets[0], Ask(tries_max=1))
            assert (refused.ending, refused.status) == ("refused", 503)
            filler.unlink()
            house.until_ready()
        assert storm.is_served_again()
        assert audit(house, wallets, [*storm.tries, refused], stranded_max=6).breaches == []
        assert len(storm.completed()) > storm.started // 4
    finally:
        house.close()
