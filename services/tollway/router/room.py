"""What one router process remembers, and how it hears of it: the catalog for its life, offers and health as they
change. Every change is told, so that remembered plans are forgotten.
"""

import asyncio
import itertools
import secrets
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tollway import clock
from tollway.bus import Handles
from tollway.listing.read import CatalogFileError, read_price_list, rows_of_list
from tollway.router.auto import PREFERRED
from tollway.router.catalog import Catalog, compile_catalog
from tollway.router.domain import plan
from tollway.router.health import Health
from tollway.router.models import Lists
from tollway.router.offers import NOTHING_KNOWN, SILENT_AFTER_MS, Heard, forget_silent, offers_of
from tollway.router.ordering import health_key
from tollway.router.ways import View
from tollway.runtime import Edge, spawn
from tollway.settings import SettingsError
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import Candidate, HealthChanged, HealthSeen, Plan, PlanRoute
from tollway.wire.refusals import Refusal
from tollway.wire.work import AskOffer, Beat

ASK_OFFER_TIMEOUT_S: Final = 1.0
TICK_S: Final = 0.1
TICKS_PER_RENEWAL: Final = 10
AUTO_MODELS: Final = "TOLLWAY_AUTO_MODELS"


class Room:
    """The router's room. `view` is what plans are made from."""

    def __init__(self, edge: Edge, handlers: Sequence[Handles]) -> None:
        self.HANDLERS = handlers
        self.telemetry = edge.telemetry
        self._bus = edge.bus
        self.node = edge.settings.node
        catalog = _read_catalog(edge)
        self.health = Health(catalog.rows, version=clock.now_ms())
        self.view = View(catalog, NOTHING_KNOWN, self.health, auto_models=_auto_models(edge))
        self.lists = Lists()
        self._adapters: dict[str, Heard] = {}
        self._routers: dict[str, int] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hear beats and health, and ask an adapter for its beat now."""
        await self._bus.listen(subjects.BEATS_ALL, [Beat], self._hear_beat)
        await self._bus.listen(subjects.HEALTH_SEEN, [HealthSeen], self._hear_seen)
        await self._bus.listen(subjects.HEALTH_CHANGED, [HealthChanged], self._hear_changed)
        self._watching = spawn(self._watch(), name="watch health and offers")
        beat = await self._bus.ask(subjects.ASK_OFFER, AskOffer(), Beat, timeout_s=ASK_OFFER_TIMEOUT_S)
        if not isinstance(beat, Refusal):
            self._hear_beat(beat, Context(), "")

    # -- questions

    def plan(self, question: PlanRoute) -> Plan | Refusal:
        """A plan; a candidate that it lets probe is spoken for from now on."""
        now_ms = clock.now_ms()
        if self.health.trouble:
            self._announce(self.health.tick(now_ms))
        answer = plan(self.view, question, now_ms=now_ms, draw=secrets.randbits(32))
        if isinstance(answer, Refusal):
            return answer
        if answer.probe is not None:
            self._claim(answer.probe, now_ms)
        return answer.plan

    def _claim(self, probe: Candidate, now_ms: int) -> None:
        self._announce(self.health.claim(*health_key(probe), now_ms))

    def explain(self, question: PlanRoute) -> Plan | Refusal:
        """The same without any effect: no probe is given away."""
        view = msgspec.structs.replace(self.view, is_prober=False)
        explained = msgspec.structs.replace(question, is_explained=True)
        answer = plan(view, explained, now_ms=clock.now_ms(), draw=secrets.randbits(32))
        return answer if isinstance(answer, Refusal) else answer.plan

    # -- what is heard

    def _hear_seen(self, note: HealthSeen, _context: Context, _subject: str) -> None:
        self._announce(self.health.seen(note, clock.now_ms()))

    def _hear_changed(self, change: HealthChanged, _context: Context, _subject: str) -> None:
        self.health.heard(change, clock.now_ms())

    def _announce(self, changes: Iterable[HealthChanged]) -> None:
        for change in changes:
            self._bus.tell(subjects.HEALTH_CHANGED, change)
            out = sum(key[0] == change.provider for key in self.health.trouble)
            self.telemetry.gauge("tollway_candidates_out", change.provider).set(out)

    def _hear_beat(self, beat: Beat, _context: Context, _subject: str) -> None:
        now_ms = clock.now_ms()
        if beat.role == "router":
            self._routers[beat.node] = now_ms
        elif beat.role == "adapter":
            known = self._adapters.get(beat.node)
            self._adapters[beat.node] = Heard(beat, now_ms)
            if known is None or known.beat.managed != beat.managed:
                self._renew_view()

    async def _watch(self) -> None:
        """Cool-downs end and adapters fall silent without a word."""
        for count in itertools.count(1):
            await asyncio.sleep(TICK_S)
            if self.health.trouble:
                self._announce(self.health.tick(clock.now_ms()))
            if count % TICKS_PER_RENEWAL == 0:
                self._renew_view()

    def _renew_view(self) -> None:
        """What is offered, and who of several routers lets probe: the first of those alive by name."""
        now_ms = clock.now_ms()
        self._adapters = forget_silent(self._adapters, now_ms=now_ms)
        self._routers = {node: at_ms for node, at_ms in self._routers.items() if now_ms - at_ms <= SILENT_AFTER_MS}
        offers = offers_of(self._adapters.values(), now_ms=now_ms)
        is_prober = all(self.node <= node for node in self._routers)
        is_new = offers != self.view.offers
        self.view = msgspec.structs.replace(self.view, offers=offers, is_prober=is_prober)
        if is_new:
            self.health.version += 1
            self._bus.tell(subjects.HEALTH_CHANGED, HealthChanged(self.health.version, "*"))

    # -- its life

    def not_ready(self) -> tuple[str, ...]:
        """Without an adapter's word the router knows no managed credential."""
        return () if self.view.offers.is_known else ("no adapter was heard",)

    async def drain(self) -> None:
        """Questions are answered at once: there is nothing to finish."""

    async def stop(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()


def _read_catalog(edge: Edge) -> Catalog:
    """The price list, compiled. Raises SettingsError where the operator's overrides cannot be used."""
    try:
        price_list = read_price_list(edge.settings.environ)
    except CatalogFileError as error:
        raise SettingsError(str(error)) from None
    return compile_catalog(price_list.entries, rows_of_list(price_list.entries), price_list.version)


def _auto_models(edge: Edge) -> tuple[str, ...]:
    """The operator's preference for `tollway/auto`, as `provider:model` with commas between. Raises SettingsError."""
    text = edge.settings.environ.get(AUTO_MODELS, "")
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    wrong = [name for name in names if ":" not in name]
    if wrong:
        raise SettingsError(f"{AUTO_MODELS}: expected provider:model, got {wrong[0]!r}")
    return names or PREFERRED
