"""The adapter's room: work it takes, credit and cancellations it hears, what it remembers; ends with HANDLERS."""

import asyncio
from typing import Final

from tollway import clock
from tollway.adapter.attempts import RetryBudget
from tollway.adapter.credentials import Credentials
from tollway.adapter.probing import probe_handler
from tollway.adapter.publishing import Publisher
from tollway.adapter.pursuit import Pursuit
from tollway.adapter.telling import Teller
from tollway.adapter.upstream import Upstream
from tollway.bus import Handles, Respond, Subscription
from tollway.dialects.built_in import LISTED_AS
from tollway.listing.read import CatalogFileError, read_price_list, rows_of_list
from tollway.runtime import Edge, report, spawn
from tollway.sealing import PrivateRing, SealError, private_source
from tollway.settings import SettingsError, number
from tollway.store.outbox import OutboxError
from tollway.wire import subjects
from tollway.wire.access import ConfigChanged
from tollway.wire.envelope import Context
from tollway.wire.refusals import refuse
from tollway.wire.work import AskOffer, Beat, Cancel, Credit, End, Piece, Work

QUEUE: Final = "adapter"
TICK_S: Final = 0.25
WORKS_MAX: Final = 4_000
"""Pieces of work that one process carries at once."""
INGRESS_SILENT_S: Final = 15.0


class Adapter:
    """One adapter process. Work is taken in `start` and no longer after `drain`."""

    def __init__(self, edge: Edge) -> None:
        settings = edge.settings
        self.HANDLERS = (*HANDLERS, probe_handler(settings.pool))
        self.bus = edge.bus
        self.upstream = Upstream()
        self.budget = RetryBudget(clock.monotonic_s())
        self.teller = Teller(edge.bus, edge.telemetry)
        self._settings = settings
        self._telemetry = edge.telemetry
        edge.telemetry.gauge("tollway_attempts_in_flight").read = lambda: float(self.in_flight)
        self._pursuits: dict[str, Pursuit] = {}
        self._ingress_heard_s: dict[str, float] = {}
        self._subscriptions: list[Subscription] = []
        self._dispatch: Subscription | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._is_draining = False
        self._works_max = int(number(settings.environ, "TOLLWAY_REQUESTS_MAX", WORKS_MAX)) or WORKS_MAX
        self._is_managed_known = False
        try:
            listed = read_price_list(settings.environ).entries
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            self.publisher = Publisher(edge.bus, edge.telemetry, data_dir=settings.data_dir, pool=settings.pool)
        except (CatalogFileError, OutboxError) as error:
            raise SettingsError(str(error)) from None
        except OSError as error:
            raise SettingsError(f"TOLLWAY_DATA_DIR: {settings.data_dir}: {error.strerror}") from None
        self._reasoning = frozenset(
            (provider, model)
            for provider, entry in listed.items()
            for model, facts in entry.models.items()
            if facts.reasoning
        )
        self.credentials = Credentials(rows_of_list(listed), settings.environ, bus=edge.bus, ring=_ring(edge))

    @property
    def in_flight(self) -> int:
        """Pieces of work under way."""
        return len(self._pursuits)

    def is_reasoning(self, provider: str, model: str) -> bool:
        """Whether the model may think without showing it, by the price list."""
        return (LISTED_AS.get(provider, provider), model) in self._reasoning

    async def start(self) -> None:
        """Hear everything that concerns this node, then take work."""
        bus = self.bus
        await self.publisher.start()
        self._subscriptions = [
            await bus.listen(subjects.flow(bus.node), [Credit, Cancel], self._flow),
            await bus.listen(subjects.CONFIG_ALL, [ConfigChanged], self._config),
            await bus.listen(subjects.beat("ingress", "*"), [Beat], self._ingress_beat),
        ]
        bus.on_reconnect.append(self._forget)
        self._dispatch = await bus.listen(subjects.dispatch(self._settings.pool), [Work], self._work, queue=QUEUE)
        self._ticking = spawn(self._tick(), name="adapter tick")

    def not_ready(self) -> tuple[str, ...]:
        """What keeps it from serving."""
        error = self.publisher.error
        return (error,) if error is not None else ()

    def beat(self) -> Beat:
        """What this adapter offers."""
        missing = ("stopping",) if self._is_draining else self.not_ready()
        return Beat(
            role=self._settings.role,
            node=self.bus.node,
            at_ms=clock.now_ms(),
            is_ready=not missing,
            not_ready=missing,
            pool=self._settings.pool,
            managed=self.credentials.offered,
            in_flight=self.in_flight,
        )

    async def drain(self) -> None:
        """Take nothing new, and let what runs come to its end."""
        self._is_draining = True
        if self._dispatch is not None:
            await self._dispatch.stop()
        await asyncio.gather(
            *(it.task for it in self._pursuits.values() if it.task is not None), return_exceptions=True
        )

    async def stop(self) -> None:
        """Break off what still runs, say so, and close."""
        tasks = [it.task for it in self._pursuits.values() if it.task is not None]
        for pursuit in tuple(self._pursuits.values()):
            pursuit.cancel("gateway_failed")
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._ticking is not None:
            self._ticking.cancel()
        for subscription in self._subscriptions:
            await subscription.stop()
        self.teller.flush()
        await self.publisher.close()
        self.upstream.close()

    # -- what it hears

    def _work(self, work: Work, context: Context, _subject: str) -> None:
        if 0 < context.deadline_ms < clock.now_ms() or work.dispatch_id in self._pursuits:
            return  # ingress has given it to another adapter by now
        if len(self._pursuits) >= self._works_max:
            self._shed(work, context)
            return
        self.budget.request(clock.monotonic_s())
        self._ingress_heard_s[work.node] = clock.monotonic_s()
        pursuit = self._pursuits[work.dispatch_id] = Pursuit(self, work, context)
        pursuit.task = spawn(self._pursue(pursuit), name="work")

    def _shed(self, work: Work, context: Context) -> None:
        """Too much is under way: say so at once, before latency explodes for everybody."""
        self._telemetry.counter("tollway_shed", "adapter").add()
        refusal = refuse("gateway_unavailable", "The adapters are at their limit; try again.", retry_after_s=1)
        end = End("gateway_failed", 0, refusal=refusal, is_shed=True)
        self.bus.tell(work.inbox, Piece(0, self.bus.node, end=end), context=context)

    async def _pursue(self, pursuit: Pursuit) -> None:
        try:
            await pursuit.run()
        finally:
            del self._pursuits[pursuit.work.dispatch_id]

    def _flow(self, note: Credit | Cancel, _context: Context, _subject: str) -> None:
        pursuit = self._pursuits.get(note.dispatch_id)
        if pursuit is None:
            return
        if isinstance(note, Credit):
            pursuit.reply.taken(note.bytes_taken)
        else:
            pursuit.cancel(note.outcome, is_superseded=note.is_superseded)

    def _config(self, change: ConfigChanged, _context: Context, _subject: str) -> None:
        self.credentials.forget(change)
        if change.kind == "managed_credential":
            self._is_managed_known = False
            spawn(self._learn_managed(), name="learn managed credentials")

    def _forget(self) -> None:
        self.credentials.forget_all()
        self._is_managed_known = False

    async def _learn_managed(self) -> None:
        self._is_managed_known = await self.credentials.learn_managed()

    def _ingress_beat(self, beat: Beat, _context: Context, _subject: str) -> None:
        self._ingress_heard_s[beat.node] = clock.monotonic_s()

    # -- what it does by the clock

    async def _tick(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(TICK_S)
            now_s = asyncio.get_running_loop().time()
            for pursuit in tuple(self._pursuits.values()):
                pursuit.reply.sign(now_s)
            count += 1
            if count % 4 == 0:
                try:
                    await self._each_second()
                except (OSError, OutboxError) as fault:  # the disk: said, and tried again in a second
                    report("adapter tick", fault)

    async def _each_second(self) -> None:
        if not self._is_managed_known:
            spawn(self._learn_managed(), name="learn managed credentials")
        self.teller.flush()
        self.upstream.sweep()
        self._leave_silent()
        await self.publisher.tick()

    def _leave_silent(self) -> None:
        """Work of an ingress that is not heard any more ends: nobody could be told its answer."""
        now_s = clock.monotonic_s()
        silent = {node for node, heard_s in self._ingress_heard_s.items() if now_s - heard_s > INGRESS_SILENT_S}
        for pursuit in tuple(self._pursuits.values()):
            if pursuit.work.node in silent:
                pursuit.cancel("gateway_failed")
        for node in silent:
            del self._ingress_heard_s[node]


def _ring(edge: Edge) -> PrivateRing | None:
    """The master keys, if this adapter has any: without them it serves managed credentials only."""
    try:
        return PrivateRing(private_source(edge.settings.environ, edge.settings.data_dir))
    except SealError as error:
        edge.telemetry.log("warning", "no_master_key", reason=str(error))
        return None


def ask_offer(room: Adapter, _command: AskOffer, _context: Context, respond: Respond) -> None:
    """What this adapter offers, now."""
    respond(room.beat())


HANDLERS: Final = (Handles(subjects.ASK_OFFER, AskOffer, ask_offer, is_direct=True),)
