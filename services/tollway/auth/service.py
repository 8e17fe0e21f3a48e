"""The life of auth: open the log, answer, tell the others, write last uses now and then."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from tollway import clock
from tollway.auth import domain, handlers
from tollway.auth.journal import Journal
from tollway.auth.known import surroundings
from tollway.auth.mint import Mint
from tollway.auth.peppers import Peppers, open_peppers
from tollway.auth.principal import principal_of
from tollway.auth.shown import shown
from tollway.auth.state import State
from tollway.auth.store import Store
from tollway.auth.uses import Uses
from tollway.bus import Respond
from tollway.runtime import Edge, report, spawn
from tollway.sealing import Sealer, public_source
from tollway.settings import SettingsError
from tollway.store import migrate
from tollway.store.engine import open_engine
from tollway.telemetry import names
from tollway.wire import subjects
from tollway.wire.access import ConfigChanged, Principal
from tollway.wire.envelope import Context
from tollway.wire.keys import KeyParts
from tollway.wire.management import AccessKey, AnyFace
from tollway.wire.refusals import Refusal, refuse

USES_EVERY_S: Final = 10.0
PRINCIPALS_MAX: Final = 50_000


class Auth:
    """The room that handlers work in."""

    HANDLERS = handlers.HANDLERS
    mint: Mint
    peppers: Peppers

    def __init__(self, edge: Edge) -> None:
        self._settings = edge.settings
        self._telemetry = edge.telemetry
        self._bus = edge.bus
        self._principals: dict[str, Principal] = {}
        self._rehashed: set[str] = set()
        self._store = Store(open_engine(edge.settings.database("auth"), is_writer=True))
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False
        self.journal = Journal(self._store, edge.bus, self._changed)
        self.uses = Uses()
        self.around = surroundings(edge.settings.environ)

    @property
    def state(self) -> State:
        """What auth knows now."""
        return self.journal.state

    async def start(self) -> None:
        """Raises SettingsError without its tables or its pepper."""
        settings = self._settings
        check_tables(settings.database("auth"))
        await self.journal.open()
        self.peppers = open_peppers(settings.environ, settings.data_dir, is_first_start=self.state.is_empty())
        self.mint = Mint(self.peppers, Sealer(public_source(settings.environ, settings.data_dir)))
        self.uses.restore(await self._store.run(self._store.uses))
        self._tasks = [
            spawn(self.journal.tell_for_ever(), name="tell configuration changes"),
            spawn(self._write_uses_for_ever(), name="write last uses"),
        ]
        await self._bus.listen(subjects.CONFIG_ALL, [ConfigChanged], self._heard)
        self._is_open = True

    def _changed(self, kind: str) -> None:
        self._telemetry.counter("tollway_config_changes", kind).add()

    def _heard(self, event: ConfigChanged, _context: Context, _subject: str) -> None:
        self.journal.heard(event.version)

    def not_ready(self) -> tuple[str, ...]:
        """Nothing, once the log is read."""
        return () if self._is_open else ("auth has not read its log",)

    async def drain(self) -> None:
        """Write what is only in memory."""
        await self._write_uses()

    async def stop(self) -> None:
        """Let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._store.close()

    def shown(self, face: AnyFace) -> AnyFace:
        """A face as its owner sees it."""
        return shown(self.state, face, self.uses.seen)

    def principal(self, key: AccessKey) -> Principal:
        """The verdict on a good key, made anew only when something of its account changed: a busy key is asked about
        twice a second by every ingress."""
        version = self.state.version(key.account_id)
        known = self._principals.get(key.id)
        if known is None or known.version != version:
            if len(self._principals) >= PRINCIPALS_MAX:
                self._principals.clear()
            known = self._principals[key.id] = principal_of(self.state, key, self.around)
        return known

    def when_it_knows(self, version: int, answer: Callable[[], None], respond: Respond) -> None:
        """Answer at once if event `version` of the log is known here, else after a look at the log, where another
        process wrote it. What is not in the log after that was never written (the database came out of a backup)."""
        if version <= self.state.seq:
            answer()
        else:
            spawn(self._answer_later(version, answer, respond), name="answer when caught up")

    async def _answer_later(self, version: int, answer: Callable[[], None], respond: Respond) -> None:
        try:
            await self.journal.catch_up(version)
        except SQLAlchemyError as fault:
            report("the database of auth does not answer", fault)
            respond(refuse("gateway_unavailable", details={"cause": "database"}))
            return
        answer()

    def judged(self, kind: str, verdict: msgspec.Struct, context: Context, start_ns: int) -> None:
        """Count a verdict and record its span."""
        code = verdict.code if isinstance(verdict, Refusal) else None
        self._telemetry.counter("tollway_key_checks", kind, code or "good").add()
        if context.trace and self._telemetry.is_tracing:
            self._telemetry.span(
                names.AUTH_CHECK,
                trace=context.trace,
                start_ns=start_ns,
                end_ns=clock.now_ns(),
                attributes={names.REQUEST_ID: context.request_id},
                error=code,
                kind="server",
            )

    def rehash(self, parts: KeyParts) -> None:
        """Keep a good key's hash under the newest pepper from now on, in the background; once for each key."""
        if parts.id not in self._rehashed:
            self._rehashed.add(parts.id)
            proof = self.peppers.prove(parts)
            spawn(self.journal.decide(lambda state: (domain.rehash(state, parts.id, proof), None)), name="rehash a key")

    async def _write_uses_for_ever(self) -> None:
        while True:
            await asyncio.sleep(USES_EVERY_S)
            await self._write_uses()

    async def _write_uses(self) -> None:
        taken = self.uses.take()
        if not taken:
            return
        try:
            await self._store.run(self._store.mark_uses, taken)
        except SQLAlchemyError as fault:
            report("last uses are not written", fault)


def check_tables(url: str) -> None:
    """Raises SettingsError when the tables are missing or of another version."""
    try:
        have = migrate.current(url, "auth")
    except SQLAlchemyError as fault:
        raise SettingsError(f"the database of auth does not answer ({type(fault).__name__})") from None
    if have != migrate.newest("auth"):
        raise SettingsError("the tables of auth are of another version: run `tollway migrate`")


def build(edge: Edge) -> Auth:
    """For the runtime."""
    return Auth(edge)
