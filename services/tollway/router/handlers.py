"""The router's questions and their answers."""

from collections.abc import Callable
from typing import Final

import msgspec

from tollway import clock
from tollway.bus import Handles
from tollway.router.room import Room
from tollway.runtime import Edge
from tollway.telemetry import names
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import AskHealth, ListModels, Plan, PlanRoute
from tollway.wire.refusals import Refusal

Respond = Callable[[msgspec.Struct], None]


def plan_route(room: Room, command: PlanRoute, context: Context, respond: Respond) -> None:
    """Candidates for a request. A repeat is answered anew."""
    start_ns = clock.now_ns()
    answer = room.plan(command)
    respond(answer)
    refusal = answer.code if isinstance(answer, Refusal) else None
    room.telemetry.counter("tollway_plans", refusal or "planned").add()
    if room.telemetry.is_tracing:
        _record(room, answer, context, start_ns, refusal)


def _record(room: Room, answer: Plan | Refusal, context: Context, start_ns: int, refusal: str | None) -> None:
    room.telemetry.span(
        names.ROUTE_PLAN,
        trace=context.trace,
        start_ns=start_ns,
        end_ns=clock.now_ns(),
        attributes={
            names.REQUEST_ID: context.request_id,
            names.CANDIDATES: len(answer.candidates) if isinstance(answer, Plan) else 0,
        },
        error=refusal,
        kind="server",
    )


def explain_route(room: Room, command: PlanRoute, _context: Context, respond: Respond) -> None:
    """The plan that a request would get now, with reasons; nothing is changed by asking."""
    respond(room.explain(command))


def models(room: Room, command: ListModels, _context: Context, respond: Respond) -> None:
    """The models that a key may call."""
    respond(room.lists.of(room.view, command))


def health(room: Room, command: AskHealth, _context: Context, respond: Respond) -> None:
    """How targets are doing."""
    respond(room.health.report(clock.now_ms(), provider=command.provider))


def build(edge: Edge) -> Room:
    """The router's service. Raises SettingsError."""
    return Room(edge, HANDLERS)


HANDLERS: Final = (
    Handles(subjects.ROUTE_PLAN, PlanRoute, plan_route, is_direct=True),
    Handles(subjects.ROUTE_MODELS, ListModels, models, is_direct=True),
    Handles(subjects.ROUTE_EXPLAIN, PlanRoute, explain_route, is_direct=True),
    Handles(subjects.ROUTE_HEALTH, AskHealth, health, is_direct=True),
)
