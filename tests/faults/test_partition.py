"""A service and the bus cannot reach each other, in both directions or in one, while the rest works on."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pytest

from tests.faults.checker import audit
from tests.faults.house import House
from tests.faults.load import Ask, Storm

CUT_S: Final = 6.0
TO_BUS: Final = "to the bus"
FROM_BUS: Final = "from the bus"
SLOW: Final = (
    Ask("simulator:echo;chunks=20;delay=100", is_stream=True),
    Ask("simulator:echo;ttfb=1500"),
    Ask(),
)


@pytest.fixture(scope="module", autouse=True)
def firewall() -> None:
    """Packets on loopback can be dropped."""
    is_able = os.geteuid() == 0 and shutil.which("iptables") is not None
    if not is_able or subprocess.run(["iptables", "-L", "-n"], capture_output=True, check=False).returncode:
        pytest.skip("dropping packets needs root and iptables")


def _rules(house: House, name: str, directions: Sequence[str]) -> list[list[str]]:
    """The process's connections to the bus, and all new ones, so that it cannot come back another way."""
    port = str(house.state["ports"]["nats"])
    links = [
        link for link in house.members()[name].net_connections("tcp") if link.raddr and str(link.raddr.port) == port
    ]
    assert links, f"{name} is not connected"
    rules = [["--dport", port, "--syn"]]
    for link in links:
        own = str(link.laddr.port)
        if TO_BUS in directions:
            rules.append(["--sport", own, "--dport", port])
        if FROM_BUS in directions:
            rules.append(["--sport", port, "--dport", own])
    return [["-i", "lo", "-p", "tcp", *rule, "-j", "DROP"] for rule in rules]


@contextmanager
def severed(house: House, name: str, directions: Sequence[str]) -> Iterator[None]:
    """No packet passes between a service and the bus in these directions."""
    rules = _rules(house, name, directions)
    house.faults.append(f"{name} cut off {' and '.join(directions)}")
    done: list[list[str]] = []
    try:
        for rule in rules:
            subprocess.run(["iptables", "-I", "INPUT", *rule], check=True)
            done.append(rule)
        yield
    finally:
        for rule in done:
            subprocess.run(["iptables", "-D", "INPUT", *rule], check=True)


@pytest.mark.long
@pytest.mark.parametrize("directions", [(TO_BUS, FROM_BUS), (TO_BUS,), (FROM_BUS,)], ids=" and ".join)
@pytest.mark.parametrize("name", ["ingress", "adapter", "ledger"])
def test_a_service_is_cut_off_from_the_bus(name: str, directions: Sequence[str], house: House) -> None:
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=100, rate=8, kinds=SLOW) as storm:
        time.sleep(2)
        with severed(house, name, directions):
            time.sleep(CUT_S)
    house.until_ready(within_s=45)
    assert storm.is_served_again()
    assert "hung" not in {tried.ending for tried in storm.tries}
    found = audit(house, wallets, storm.tries, stranded_max=6, may_lose_answers=name != "ledger")
    assert found.breaches == []
    assert len(storm.completed()) > storm.started // 4
