"""The bus dies, freezes, loses its durability, its streams or its memory of what it has delivered."""

import asyncio
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import nats
import pytest

from tests.e2e.gateway import until
from tests.faults.checker import audit, books_of
from tests.faults.conftest import NewHouse
from tests.faults.house import House
from tests.faults.load import Ask, Storm, together

STREAMING: Final = (
    Ask("simulator:echo;chunks=10;delay=60", is_stream=True),
    Ask("simulator:echo;chunks=25;delay=40", is_stream=True),
    Ask("simulator:echo;ttft=700;chunks=6;delay=100", is_stream=True),
)
NOTICED_WITHIN_S: Final = 45.0
FROZEN_S: Final = 5.0


@pytest.mark.long
def test_the_bus_is_killed_while_answers_stream(house: House) -> None:
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=60, rate=15, kinds=STREAMING) as storm:
        time.sleep(2)
        pid = house.kill("nats")
        house.until_replaced("nats", pid)
        house.until_ready()
    assert "hung" not in {tried.ending for tried in storm.tries}
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=4, may_lose_answers=True).breaches == []


@pytest.mark.long
def test_the_bus_freezes_for_five_seconds(house: House) -> None:
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=80, rate=12) as storm:
        time.sleep(1)
        pid = house.freeze("nats")
        time.sleep(FROZEN_S)
        house.thaw(pid)
    house.until_ready()
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=4, may_lose_answers=True).breaches == []


# -- what was delivered is delivered again


def test_facts_that_come_again_change_nothing_and_a_different_one_is_kept_for_audit(house: House) -> None:
    wallet = house.wallet()
    tries = together(house.base_url, wallet, [Ask(tries_max=1)] * 12)
    assert audit(house, [wallet], tries).breaches == []
    before = books_of(house)
    asyncio.run(_again(house, wallet.account_id))
    house.faults.append("each fact once more, shuffled, and one with other tokens")
    until(lambda: len(books_of(house).conflicts) > len(before.conflicts))
    assert audit(house, [wallet], tries).breaches == []
    after = books_of(house)
    assert after.settled == before.settled
    assert len(after.conflicts) == len(before.conflicts) + 1


async def _again(house: House, account_id: str) -> None:
    """Put this account's facts into USAGE again, as an adapter would: each twice, in any order, then a lie."""
    client = await nats.connect(
        f"nats://127.0.0.1:{house.state['ports']['nats']}",
        user="adapter",
        password=house.state["passwords"]["adapter"],
        inbox_prefix=b"_in.adapter",
    )
    found = await _facts(house, account_id)
    repeats = found * 2
    random.Random(7).shuffle(repeats)
    stream = client.jetstream()
    for subject, payload in [*repeats, (found[0][0], _with_other_tokens(found[0][1]))]:
        await stream.publish(subject, payload)
    await client.close()


async def _facts(house: House, account_id: str) -> list[tuple[str, bytes]]:
    """Messages of USAGE with facts of the account, read as the operator may."""
    bus = await house.bus()
    try:
        stream = bus.client.jetstream()
        state = (await stream.stream_info("USAGE")).state
        found: list[tuple[str, bytes]] = []
        for sequence in range(max(1, state.first_seq), state.last_seq + 1):
            message = await stream.get_msg("USAGE", sequence)
            if account_id.encode() in (message.data or b""):
                found.append((message.subject or "", message.data or b""))
        return found
    finally:
        await bus.drain()


def _with_other_tokens(payload: bytes) -> bytes:
    """The first fact of a message, with other output."""
    *head, body = msgspec.msgpack.decode(payload)
    fact = body["facts"][0]
    fact["usage"]["tokens_output"] += 1
    return msgspec.msgpack.encode([*head, {"facts": [fact]}])


# -- durability and loss


def _sync_of(house: House, interval: str) -> Callable[[], None]:
    """Rewrites the bus's configuration."""
    config = house.data / "nats.conf"

    def write() -> None:
        config.write_text(re.sub(r"sync_interval: \w+", f"sync_interval: {interval}", config.read_text()))

    return write


@pytest.mark.long
def test_without_a_sync_of_every_message_the_bus_is_refused_by_readiness(new_house: NewHouse) -> None:
    house = new_house()
    house.start()
    house.while_down("nats", _sync_of(house, "2m"))
    until(lambda: "sync" in str(house.missing().get("ledger", "")), within_s=NOTICED_WITHIN_S)
    house.while_down("nats", _sync_of(house, "always"))
    house.until_ready(within_s=NOTICED_WITHIN_S)


@pytest.mark.long
def test_the_ledgers_copy_is_lost_and_written_anew_while_requests_are_served(new_house: NewHouse) -> None:
    house = new_house()
    house.start()
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=60, rate=10) as storm:
        time.sleep(2)
        house.while_down("nats", lambda: shutil.rmtree(_stream_of(house, "LEDGER")))
    house.until_ready()
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=4, may_lose_answers=True).breaches == []


def _stream_of(house: House, name: str) -> Path:
    return next(house.data.glob(f"jetstream/**/streams/{name}"))


@pytest.mark.long
def test_all_streams_are_lost_between_two_starts_and_only_the_copies_were_in_them(new_house: NewHouse) -> None:
    house = new_house()
    house.start()
    wallets = [house.wallet() for _ in range(2)]
    tries = together(house.base_url, wallets[0], [Ask(tries_max=1)] * 10)
    audit(house, wallets, tries)
    house.stop()
    shutil.rmtree(house.data / "jetstream")
    house.faults.append("all streams removed")
    house.start()
    house.until_ready()
    tries += together(house.base_url, wallets[1], [Ask(tries_max=1)] * 10)
    found = audit(house, wallets, tries, is_tally_whole=False)
    assert found.breaches == []
    assert {tried.ending for tried in tries} == {"complete"}
