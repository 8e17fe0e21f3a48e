"""The router's room: it hears beats and answers for plans and models."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tollway import clock
from tollway.bus import Handles
from tollway.listing.read import CatalogFileError, read_price_list, rows_of_list
from tollway.router.catalog import Catalog, compile_catalog
from tollway.router.domain import View, plan
from tollway.router.models import list_models
from tollway.router.offers import NOTHING_KNOWN, Heard, Offers, forget_silent, offers_of
from tollway.runtime import Edge, spawn
from tollway.settings import SettingsError
from tollway.telemetry import names
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import HealthChanged, ListModels, PlanRoute
from tollway.wire.refusals import Refusal
from tollway.wire.work import AskOffer, Beat

ASK_OFFER_TIMEOUT_S: Final = 1.0
OFFERS_CHECK_S: Final = 1.0

Respond = Callable[[msgspec.Struct], None]


class Room:
    """What one router process remembers: the catalog for its life, offers as they are heard."""

    def __init__(self, edge: Edge) -> None:
        self.HANDLERS: Sequence[Handles] = HANDLERS
        self._edge = edge
        self._catalog = _read_catalog(edge)
        self._heard: dict[str, Heard] = {}
        self._version = clock.now_ms()
        self.view = View(self._catalog, NOTHING_KNOWN)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hear beats, and ask for one now."""
        await self._edge.bus.listen(subjects.BEATS_ALL, [Beat], self._hear)
        self._watching = spawn(self._watch_offers(), name="offers")
        await self._ask_offer()

    async def _ask_offer(self) -> None:
        beat = await self._edge.bus.ask(subjects.ASK_OFFER, AskOffer(), Beat, timeout_s=ASK_OFFER_TIMEOUT_S)
        if not isinstance(beat, Refusal):
            self._hear(beat, Context(), "")

    def _hear(self, beat: Beat, _context: Context, _subject: str) -> None:
        if beat.role == "adapter":
            is_new = beat.node not in self._heard or self._heard[beat.node].beat.managed != beat.managed
            self._heard[beat.node] = Heard(beat, clock.now_ms())
            if is_new:
                self._renew_offers()

    async def _watch_offers(self) -> None:
        """Adapters fall silent without a word."""
        while True:
            await asyncio.sleep(OFFERS_CHECK_S)
            self._renew_offers()

    def _renew_offers(self) -> None:
        now_ms = clock.now_ms()
        self._heard = forget_silent(self._heard, now_ms=now_ms)
        offers = offers_of(self._heard.values(), now_ms=now_ms)
        if offers != self.view.offers:
            self._change_offers(offers)

    def _change_offers(self, offers: Offers) -> None:
        """Plans that others remember were made with what was offered before: they are to forget them."""
        self.view = View(self._catalog, offers)
        self._version = max(self._version + 1, clock.now_ms())
        self._edge.bus.tell(subjects.HEALTH_CHANGED, HealthChanged(self._version, "*"))

    def not_ready(self) -> tuple[str, ...]:
        """Without an adapter's word the router knows no managed credential."""
        return () if self.view.offers.is_known else ("no adapter was heard",)

    async def drain(self) -> None:
        """Questions are answered at once: there is nothing to finish."""

    async def stop(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()

    def answered(self, outcome: str, context: Context, start_ns: int, refusal: str | None) -> None:
        """Count a plan and record its span."""
        telemetry = self._edge.telemetry
        telemetry.counter("tollway_plans", outcome).add()
        if telemetry.is_tracing:
            telemetry.span(
                names.ROUTE_PLAN,
                trace=context.trace,
                start_ns=start_ns,
                end_ns=clock.now_ns(),
                attributes={names.REQUEST_ID: context.request_id},
                error=refusal,
                kind="server",
            )


def _read_catalog(edge: Edge) -> Catalog:
    """The price list, compiled. Raises SettingsError where the operator's overrides cannot be used."""
    try:
        price_list = read_price_list(edge.settings.environ)
    except CatalogFileError as error:
        raise SettingsError(str(error)) from None
    return compile_catalog(price_list.entries, rows_of_list(price_list.entries), price_list.version)


def plan_route(room: Room, command: PlanRoute, context: Context, respond: Respond) -> None:
    """Candidates for a request. A repeat is answered anew."""
    start_ns = clock.now_ns()
    answer = plan(room.view, command)
    respond(answer)
    refusal = answer.code if isinstance(answer, Refusal) else None
    room.answered(refusal or "planned", context, start_ns, refusal)


def models(room: Room, command: ListModels, _context: Context, respond: Respond) -> None:
    """The models that a key may call."""
    respond(list_models(room.view, command))


def build(edge: Edge) -> Room:
    """The router's service."""
    return Room(edge)


HANDLERS: Final = (
    Handles(subjects.ROUTE_PLAN, PlanRoute, plan_route, is_direct=True),
    Handles(subjects.ROUTE_MODELS, ListModels, models, is_direct=True),
)
