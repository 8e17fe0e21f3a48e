"""The addresses under `/_sim/`: the tally, outages, open connections, health."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from .http import JSON, Request, head
from .models import BEHAVIOURS
from .options import Unreadable
from .outages import Outage, Outages, outage
from .steps import Opening, Script
from .tally import Entry, Tally

PREFIX = "/_sim/"


class Line(Struct):
    """An open connection. `entry` is the request it is answering now."""

    peer: str
    since_ms: int
    requests: int = 0
    entry: Entry | None = None


class Room(Struct):
    """What the simulator remembers, all of it in memory."""

    tally: Tally = field(default_factory=Tally)
    outages: Outages = field(default_factory=Outages)
    lines: dict[int, Line] = field(default_factory=dict[int, Line])

    def open_count(self) -> int:
        return sum(line.entry is not None for line in self.lines.values())


class _Behaviour(Struct, forbid_unknown_fields=True):
    model: str
    behaves: str = field(name="as")
    until_requests: int | None = None
    seconds: float | None = None


class Asked(Struct, frozen=True):
    """A control request and when it came, in Unix milliseconds."""

    request: Request
    now_ms: int


Reported = tuple[int, Any]
"""Status and what becomes JSON."""


def control(room: Room, asked: Asked) -> Script:
    """Answer a request under `/_sim/`."""
    handler = HANDLERS.get((asked.request.method, asked.request.path.removeprefix(PREFIX)), _unknown)
    status, value = handler(room, asked)
    body = msgspec.json.encode(value)
    yield Opening(status, head(status, JSON, length=len(body)))
    yield body


def _unknown(room: Room, asked: Asked) -> Reported:
    del room, asked
    return 404, {
        "error": "there is no such control",
        "controls": [f"{method} {PREFIX}{name}" for method, name in HANDLERS],
    }


def _health(room: Room, asked: Asked) -> Reported:
    del asked
    return 200, {"status": "ok", "connections": len(room.lines), "open": room.open_count()}


def _tally(room: Room, asked: Asked) -> Reported:
    query = asked.request.query
    model = query.get("model")
    model = model and model.lower()
    after = _number(query.get("after")) or 0
    return 200, {
        "totals": room.tally.totals(model),
        "models": {name: room.tally.totals(name) for name in room.tally.models()} if model is None else {},
        "open": room.open_count(),
        "requests": room.tally.entries(model, after, _number(query.get("limit"))),
    }


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _reset(room: Room, asked: Asked) -> Reported:
    del asked
    room.tally.reset()
    room.outages.forget_groups()
    return 200, {"reset": True}


def _connections(room: Room, asked: Asked) -> Reported:
    del asked
    return 200, {"connections": list(room.lines.values())}


def _outages(room: Room, asked: Asked) -> Reported:
    return 200, {"behaviours": [_told(one) for one in room.outages.in_force(asked.now_ms)]}


def _told(one: Outage) -> dict[str, Any]:
    return {"model": one.model, "as": one.spec.name, "requests_left": one.requests_left, "until_ms": one.until_ms}


def _set_outage(room: Room, asked: Asked) -> Reported:
    try:
        wanted = msgspec.json.decode(asked.request.body, type=_Behaviour)
    except msgspec.DecodeError as error:
        return 400, {"error": str(error)}
    until_ms = None if wanted.seconds is None else asked.now_ms + round(wanted.seconds * 1000)
    made = outage(wanted.model, wanted.behaves, wanted.until_requests, until_ms)
    if isinstance(made, Unreadable):
        return 400, {"error": made.reason}
    if made.spec.name not in BEHAVIOURS:
        return 400, {"error": f"there is no behaviour '{made.spec.name}'", "behaviours": list(BEHAVIOURS)}
    room.outages.set(made)
    return 200, _told(made)


def _clear_outages(room: Room, asked: Asked) -> Reported:
    del asked
    room.outages.clear()
    return 200, {"cleared": True}


HANDLERS: dict[tuple[str, str], Callable[[Room, Asked], Reported]] = {
    ("GET", "health"): _health,
    ("GET", "tally"): _tally,
    ("DELETE", "tally"): _reset,
    ("GET", "connections"): _connections,
    ("GET", "behaviour"): _outages,
    ("POST", "behaviour"): _set_outage,
    ("DELETE", "behaviour"): _clear_outages,
}
"""Method and the name after `/_sim/` → what answers."""
