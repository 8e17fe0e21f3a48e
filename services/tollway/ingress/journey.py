"""What is known of one request on its way, and what its life needs of the service around it."""

from typing import Protocol

import msgspec

from tollway import clock, ids
from tollway.bus import Bus
from tollway.dialects.bridge import Intake
from tollway.ingress import domain
from tollway.ingress.admission import Admission
from tollway.ingress.ahead import HoldsAhead
from tollway.ingress.exchange import Exchange
from tollway.ingress.replay import Lead, Replays
from tollway.ingress.surfaces import Door
from tollway.ingress.tuning import Tuning
from tollway.ingress.waiting import Loss, WaitingRoom
from tollway.remember import Remembered
from tollway.telemetry import Begun
from tollway.wire.access import Principal
from tollway.wire.envelope import Context
from tollway.wire.plan import Plan
from tollway.wire.refusals import Refusal
from tollway.wire.work import End, Head


class PlanKey(msgspec.Struct, frozen=True):
    """What a plan depends on, besides health. The principal is told by its key and version."""

    access_key_id: str
    version: int
    models: tuple[str, ...]
    door: Door
    needs: tuple[str, ...]
    strategy: str = ""
    tokens_input: int = 0
    is_searching: bool = False
    billed_tools: tuple[str, ...] = ()


class House(Protocol):
    """What the life of a request needs of the service around it."""

    bus: Bus
    room: WaitingRoom
    node: str
    principals: Remembered[str, Principal]
    plans: Remembered[PlanKey, Plan]
    known: dict[str, Principal]
    bodies: dict[str, bytes]
    admission: Admission
    replays: Replays
    ahead: HoldsAhead
    tuning: Tuning


class Mark(msgspec.Struct, frozen=True):
    """A stage of the request, for its span and its histogram."""

    name: str
    start_ns: int
    end_ns: int
    is_remembered: bool = False
    error: str | None = None


class Journey:
    """All that is known of one request, filled in on the way; told once at its end."""

    def __init__(self, exchange: Exchange, door: Door, begun: Begun) -> None:
        self.exchange = exchange
        self.door = door
        self.begun = begun
        self.request_id = ids.new_id("rq")
        self.dispatch_id = ""
        self.started_ns = clock.now_ns()
        self.first_out_ns = 0
        self.bytes_in = 0
        self.pieces = 0
        self.marks: list[Mark] = []
        self.principal: Principal | None = None
        self.intake: Intake | None = None
        self.plan: Plan | None = None
        self.sizing: domain.Sizing | None = None
        self.refusal: Refusal | None = None
        self.head: Head | None = None
        self.end: End | None = None
        self.loss: Loss | None = None
        self.lead: Lead | None = None
        self.is_replayed = False

    def context(self, deadline_ms: int = 0) -> Context:
        """What travels with the messages of this request."""
        return Context(self.request_id, "", self.begun.trace, deadline_ms)

    def mark(self, name: str, start_ns: int, *, is_remembered: bool = False, result: object = None) -> None:
        """A stage has ended."""
        error = result.code if isinstance(result, Refusal) else None
        self.marks.append(Mark(name, start_ns, clock.now_ns(), is_remembered, error))


class Admitted(msgspec.Struct, frozen=True):
    """The way in is over: all that the dispatch needs."""

    principal: Principal
    intake: Intake
    plan: Plan
    sizing: domain.Sizing
    body: bytes
    deadline_ms: int
