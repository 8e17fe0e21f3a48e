"""Ledgers on a real bus and a real database, and somebody who asks them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import NatsServer
from tests.ledger.story import KEY, PRICE, attempt
from tollway import clock, ids, settings
from tollway.bus.nats import NatsBus, connect
from tollway.ledger.service import Ledger
from tollway.runtime import Edge
from tollway.settings import SettingsError
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.credit import CreditGranted, GrantCredit, HoldOpened, OpenHold
from tollway.wire.queries import Balance, GetBalance
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Settled, Usage, UsageFact, UsageFacts, Witness


class House:
    """Everything of one test. Ledgers are in this process; `fenced` collects those that would have ended it."""

    def __init__(self, server: NatsServer, database: Callable[[str], str], directory: Path) -> None:
        self.server = server
        self.directory = directory
        url = database("journal")
        self.environ = {
            "TOLLWAY_NATS_URL": server.url,
            "TOLLWAY_NATS_MONITOR_URL": server.monitor_url,
            "TOLLWAY_DATA_DIR": str(directory),
            **({} if url.startswith("sqlite") else {"TOLLWAY_DATABASE_URL": url}),
        }
        self.fenced: list[Ledger] = []
        self.settled: list[str] = []
        self.client: NatsBus
        self._open: list[tuple[Ledger, NatsBus, Telemetry]] = []

    async def __aenter__(self) -> "House":
        self.client = await connect(self.server.url, role="ingress", node="ingress-1")
        await self.client.listen(subjects.settled("ob"), [Settled], lambda b, _c, _s: self.settled.extend(b.hold_ids))
        return self

    async def __aexit__(self, *_: object) -> None:
        for ledger in list(self._open):
            await self.close(ledger[0])
        await self.client.drain()

    async def ledger(self, *, pid: int | None = None) -> Ledger:
        """One more ledger process, as far as the database and the bus can tell (with a number of its own, too)."""
        told = settings.read("ledger", self.environ)
        bus = await connect(told.nats_url, role="ledger", node=told.node)
        telemetry = Telemetry(told)
        ledger = Ledger(Edge(told, bus, telemetry), on_end=lambda _code: self.fenced.append(ledger), pid=pid)
        try:
            await ledger.start()
        except SettingsError:
            await bus.drain()
            telemetry.stop()
            raise
        self._open.append((ledger, bus, telemetry))
        await bus.serve(ledger.HANDLERS, ledger, queue="ledger")
        return ledger

    async def close(self, ledger: Ledger) -> None:
        """An orderly end."""
        entry = next(entry for entry in self._open if entry[0] is ledger)
        self._open.remove(entry)
        await ledger.drain()
        await ledger.stop()
        await entry[1].drain()
        entry[2].stop()

    # -- asking

    async def ask(self, subject: str, command: Any, reply: Any, timeout_s: float = 5.0) -> Any:
        """An answer or a refusal; asked again while the ledger is busy or away, as a careful client does."""
        said: Any = None
        for _ in range(20):
            said = await self.client.ask(subject, command, reply, timeout_s=timeout_s)
            is_nobody = isinstance(said, Refusal) and said.details.get("cause") == "no_responders"
            if not isinstance(said, Refusal) or (
                said.code not in ("ledger_unavailable", "ledger_busy") and not is_nobody
            ):
                return said
            await asyncio.sleep(0.25)
        raise AssertionError(f"the ledger never had time for {command}: {said}")

    async def grant(self, account: str, amount: int, ref: str = "r1") -> Any:
        """Promotional credit."""
        command = GrantCredit(account, amount, "promotional", "cli", ref, "operator")
        said = await self.ask(subjects.credit(subjects.journal_of(account)), command, CreditGranted)
        assert isinstance(said, CreditGranted), said
        return said

    async def open(self, account: str, amount: int, hold: str | None = None, **fields: Any) -> Any:
        """A hold with a minute's deadline."""
        command = open_hold(account, amount, hold, **fields)
        return await self.ask(subjects.hold(subjects.journal_of(account)), command, HoldOpened)

    async def opened(self, account: str, amount: int, hold: str | None = None) -> HoldOpened:
        """A hold that must be granted."""
        said = await self.open(account, amount, hold)
        assert isinstance(said, HoldOpened), said
        return said

    async def put(self, *facts: UsageFact) -> None:
        """Facts of one account into USAGE, as an adapter does."""
        subject = subjects.usage(subjects.journal_of(facts[0].account_id))
        await self.client.put(subject, UsageFacts(list(facts)), message_id=ids.new_id("m"))

    async def witness(self, witness: Witness) -> None:
        """What ingress saw."""
        subject = subjects.witness(subjects.journal_of(witness.account_id))
        await self.client.put(subject, witness, message_id=ids.new_id("m"))

    async def balance(self, account: str) -> Balance:
        """The balance, as told."""
        said = await self.ask(subjects.LEDGER_QUERY, GetBalance(account), Balance)
        assert isinstance(said, Balance), said
        return said

    async def until(self, condition: Callable[[], Any], within_s: float = 15.0) -> None:
        """Wait for something that must come."""
        give_up = clock.monotonic_s() + within_s
        while not condition():
            assert clock.monotonic_s() < give_up, "it never came"
            await asyncio.sleep(0.01)

    async def until_settled(self, *holds: str) -> None:
        """Wait until the outbox heard of these holds."""
        await self.until(lambda: set(holds) <= set(self.settled))

    async def until_served(self, account: str) -> None:
        """Wait until the account's journal is served."""
        while isinstance(said := await self.ask(subjects.LEDGER_QUERY, GetBalance(account), Balance, 1.0), Refusal):
            assert said.code in ("gateway_unavailable", "ledger_unavailable"), said
            await asyncio.sleep(0.05)


def open_hold(account: str, amount: int, hold: str | None = None, **fields: Any) -> OpenHold:
    """The command."""
    given: dict[str, Any] = {"hold_deadline_ms": clock.now_ms() + 60_000, "price_version": "v1", "models": ("gpt-4o",)}
    return OpenHold(hold or ids.new_id("rq"), account, KEY, amount, **(given | fields))


def fact(account: str, hold: str, tokens: int = 100, **fields: Any) -> UsageFact:
    """A complete answer that used this many output tokens, at 1,050 nano-dollars each."""
    given: dict[str, Any] = {
        "hold_id": hold,
        "account_id": account,
        "access_key_id": KEY,
        "outbox": "ob",
        "outcome": "complete",
        "certainty": "reported",
        "usage": Usage(0, tokens),
        "attempts": [attempt(started_at_ms=clock.now_ms())],
        "ended_at_ms": clock.now_ms(),
        "is_managed": True,
        "price": PRICE,
        "price_version": "v1",
    }
    return UsageFact(**(given | fields))


def accounts(count: int, group: int | None = None) -> list[str]:
    """Accounts of different journals (of one group, if told)."""
    names = (f"acc_{n}" for n in range(10_000))
    wanted = (name for name in names if group is None or subjects.journal_of(name) % 8 == group)
    return [next(wanted) for _ in range(count)]
