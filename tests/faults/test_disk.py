"""The disk fills up under a running system: what cannot be kept is not promised, and all goes on once there is room."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.faults.checker import audit
from tests.faults.house import House
from tests.faults.load import Ask, Storm, attempt_once

SIZE_MB: Final = 160
BUS_MB: Final = 64
BLOCK: Final = bytes(64 * 1024)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; needs the right to mount."""
    place = tmp_path / "disk"
    with mounted(place, SIZE_MB):
        yield place


@contextmanager
def mounted(place: Path, size_mb: int) -> Iterator[None]:
    """A file system of that size, while this lasts."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield
    finally:
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


@pytest.mark.long
@pytest.mark.timeout(240)
def test_facts_wait_in_the_outbox_while_the_bus_has_no_room_for_them(tmp_path: Path) -> None:
    house = House(tmp_path)
    streams = house.data / "jetstream"
    house.data.mkdir(mode=0o700)
    with mounted(streams, BUS_MB):
        try:
            house.start()
            wallets = [house.wallet() for _ in range(2)]
            with Storm(house.base_url, wallets, requests=200, rate=10) as storm:
                time.sleep(2)
                filler = fill(streams)
                house.faults.append("the disk of the bus full")
                time.sleep(6)
                filler.unlink()
            house.until_ready(within_s=60)
            assert storm.is_served_again()
            assert audit(house, wallets, storm.tries, stranded_max=6, may_lose_answers=True).breaches == []
            assert len(storm.completed()) > storm.started // 4
        finally:
            house.close()
