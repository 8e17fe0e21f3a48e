"""What is delivered more than once, in another order or too late changes no decision."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import nats
import pytest
from nats.aio.client import Client

from tests.faults.checker import audit, books_of
from tests.faults.house import House
from tests.faults.load import Ask, Storm, together

LATE_S: Final = 15.0
REPEATS: Final = (0, 1, 2)
WITNESS: Final = "witness."
FROZEN_S: Final = 4.0


class Echo:
    """A bus that forgets what it has delivered: each message of USAGE comes up to twice more, up to LATE_S later.

    A repeat has no message id, so the stream cannot know it; facts are repeated as the adapter, witnesses as ingress.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._chance = random.Random(18)
        self._seen: set[bytes] = set()
        self._is_over = threading.Event()
        self.count = 0

    async def run(self) -> None:
        """Until told that it is over and the last repeat is out."""
        users = {user: await self._connected(user) for user in ("cli", "adapter", "ingress")}
        async with asyncio.TaskGroup() as group:
            stream = users["cli"].jetstream()
            next_sequence = (await stream.stream_info("USAGE")).state.last_seq + 1
            while not self._is_over.is_set():
                last = (await stream.stream_info("USAGE")).state.last_seq
                for sequence in range(next_sequence, last + 1):
                    message = await stream.get_msg("USAGE", sequence)
                    self._repeat(group, users, message.subject or "", message.data or b"")
                next_sequence = last + 1
                await asyncio.sleep(0.05)
        for client in users.values():
            await client.close()

    def _repeat(self, group: asyncio.TaskGroup, users: dict[str, Client], subject: str, payload: bytes) -> None:
        if payload in self._seen:
            return
        self._seen.add(payload)
        user = users["ingress" if subject.startswith(WITNESS) else "adapter"]
        for _ in range(self._chance.choice(REPEATS)):
            group.create_task(self._later(user, subject, payload, self._chance.uniform(0, LATE_S)))

    async def _later(self, user: Client, subject: str, payload: bytes, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await user.jetstream().publish(subject, payload)
        self.count += 1

    async def _connected(self, user: str) -> Client:
        state = self._house.state
        return await nats.connect(
            f"nats://127.0.0.1:{state['ports']['nats']}",
            user=user,
            password=state["passwords"][user],
            inbox_prefix=f"_in.{user}".encode(),
        )

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While this lasts; it ends when the last repeat is out."""
        thread = threading.Thread(target=lambda: asyncio.run(self.run()), name="echo")
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()


@pytest.mark.long
def test_every_fact_comes_one_to_three_times_in_any_order_while_requests_are_served(house: House) -> None:
    wallets = [house.wallet() for _ in range(3)]
    conflicts = len(books_of(house).conflicts)
    echo = Echo(house)
    with echo.heard(), Storm(house.base_url, wallets, requests=150, rate=12) as storm:
        pass
    house.faults += ["a message of USAGE again"] * echo.count
    assert echo.count > storm.started // 2
    found = audit(house, wallets, storm.tries)
    assert found.breaches == []
    assert len(books_of(house).conflicts) == conflicts, "the same fact again is no other fact"
    assert len(storm.completed()) > storm.started // 2


def test_holds_that_were_asked_for_while_the_ledger_was_frozen_are_not_opened_when_it_wakes_up(house: House) -> None:
    wallet = house.wallet()
    pid = house.freeze("ledger")
    asked_at = time.monotonic()
    try:
        refused = together(house.base_url, wallet, [Ask(tries_max=1)] * 10)
        time.sleep(max(0.0, FROZEN_S - (time.monotonic() - asked_at)))
    finally:
        house.thaw(pid)
    assert {(tried.ending, tried.status) for tried in refused} == {("refused", 503)}
    house.until_ready()
    with Storm(house.base_url, [wallet], requests=3, kinds=[Ask()]) as storm:
        pass
    assert {tried.ending for tried in storm.last} == {"complete"}
    assert audit(house, [wallet], [*refused, *storm.tries]).breaches == []
    opened = books_of(house).opened
    assert [tried.request_id for tried in refused if tried.request_id in opened] == []
