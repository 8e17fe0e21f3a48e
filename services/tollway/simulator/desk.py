"""From a request to a script and a line in the tally. No IO: the server brings the time and carries out the script."""

from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .answer import Answer, compose, honest_usage, tokens_after
from .ask import Ask, tokens
from .behaviours import Call, refused
from .control import PREFIX, Asked, Room, control
from .dialects.table import CHAT, Address, Dialect, find
from .frames import Reply
from .http import Request
from .listing import listing
from .models import BEHAVIOURS, Behaviour
from .options import Options, Spec, Unreadable, read_model, with_headers
from .refusals import REFUSALS, Refusal, malformed, refusal, with_status
from .steps import Script
from .tally import Bills, Entry, Outcome

_KEPT_HEADERS = ("tollway-", "x-tollway-", "idempotency", "x-idempotency", "traceparent")

Ending = Literal["end", "cut", "gone"]
"""How a script came to its end: it ran out, it cut the connection itself, or the client was gone."""


class Exchange(Struct):
    """A model call being answered. The server counts in it what it sent."""

    call: Call
    behaviour: Behaviour
    entry: Entry
    sent_bytes: int = 0


class Task(Struct):
    """A script to carry out; control and listings have no exchange, for they are not in the tally."""

    script: Script
    exchange: Exchange | None = None


class _Plan(Struct, frozen=True):
    """What to do with a request: the behaviour named by `spec`, or the refusal."""

    dialect: Dialect
    ask: Ask
    model: str
    spec: Spec
    refusal: Refusal | None = None


_REFUSED = Spec("refused", Options())
_REFUSING = Behaviour(script=refused, outcome="failed", bills="nothing")


class Desk:
    """The simulator without its sockets."""

    def __init__(self, instance: str) -> None:
        """`instance` goes into every id, so that two simulators never give the same."""
        self.room = Room()
        self._instance = instance
        self._seq = 0

    def receive(self, request: Request, now_ms: int) -> Task:
        """Decide what happens to a request."""
        if request.path.startswith(PREFIX):
            return Task(control(self.room, Asked(request, now_ms)))
        listed = listing(request)
        return Task(listed) if listed else self._called(request, self._plan(request, now_ms), now_ms)

    def _plan(self, request: Request, now_ms: int) -> _Plan:
        address = find(request)
        if address is None:
            unknown = with_status(malformed(f"Unknown request URL: {request.method} {request.path}."), 404)
            return _Plan(CHAT, Ask(model=""), "", _REFUSED, unknown)
        read = _read(request, address)
        if isinstance(read, Refusal):
            return _Plan(address.dialect, Ask(model=""), address.model, _REFUSED, read)
        return self._chosen(request, address.dialect, read, now_ms)

    def _chosen(self, request: Request, dialect: Dialect, ask: Ask, now_ms: int) -> _Plan:
        wanted = _wanted(ask, request)
        if isinstance(wanted, Unreadable):
            return _Plan(dialect, ask, ask.model, _REFUSED, malformed(wanted.reason))
        spec = self.room.outages.decide(wanted, credential(request), now_ms)
        spec = Spec(spec.name, _implied(spec))
        return _Plan(dialect, ask, wanted.name, spec, _impossible(wanted, spec, ask))

    def _called(self, request: Request, plan: _Plan, now_ms: int) -> Task:
        self._seq += 1
        behaviour = _REFUSING if plan.refusal else BEHAVIOURS[plan.spec.name]
        call = self._call(request, plan, behaviour, now_ms)
        entry = Entry(
            seq=self._seq,
            id=call.reply.id,
            at_ms=now_ms,
            path=request.path,
            model=plan.model,
            behaviour=plan.spec.name,
            credential=call.key_last4,
            stream=plan.ask.stream,
            headers=_kept(request.headers),
        )
        return Task(behaviour.script(call), Exchange(call, behaviour, entry))

    def _call(self, request: Request, plan: _Plan, behaviour: Behaviour, now_ms: int) -> Call:
        ask, options = plan.ask, plan.spec.options
        if options.dimensions and not ask.dimensions:
            ask = replace(ask, dimensions=options.dimensions)
        answer = _ANSWERS[plan.dialect.bill](ask, options, behaviour)
        reply = Reply(f"{self._instance}{self._seq:x}", now_ms // 1000, plan.model, ask, answer)
        fault = plan.refusal or refusal(plan.spec.name, options.status)
        return Call(plan.dialect, reply, options, fault, credential(request)[-4:])

    def close(self, exchange: Exchange, ending: Ending, now_ms: int) -> None:
        """Write the request into the tally. Called once, when its script is over."""
        entry = exchange.entry
        entry.outcome = _outcome(exchange, ending)
        entry.ended_ms = now_ms
        entry.disconnected_ms = now_ms if ending == "gone" else None
        _bill(exchange)
        self.room.tally.add(entry)


def credential(request: Request) -> str:
    """The key that came with a request, empty if none did."""
    bearer = request.headers.get("authorization", "").partition(" ")[2].strip()
    named = request.headers.get("x-api-key") or request.headers.get("x-goog-api-key")
    return bearer or named or request.query.get("key", "")


def _kept(headers: dict[str, str]) -> dict[str, str] | None:
    return {name: value for name, value in headers.items() if name.startswith(_KEPT_HEADERS)} or None


def _read(request: Request, address: Address) -> Ask | Refusal:
    try:
        return address.dialect.read(request.body, address.model)
    except (msgspec.DecodeError, RecursionError) as error:
        return malformed(f"We could not parse the JSON body of your request: {error}")


def _wanted(ask: Ask, request: Request) -> Spec | Unreadable:
    named = read_model(ask.model)
    return named if isinstance(named, Unreadable) else with_headers(named, request.headers)


def _implied(spec: Spec) -> Options:
    """The options with what the behaviour implies where the caller said nothing."""
    implies = BEHAVIOURS[spec.name].implies if spec.name in BEHAVIOURS else {}
    missing = {name: value for name, value in implies.items() if getattr(spec.options, name) is None}
    return replace(spec.options, **missing) if missing else spec.options


def _impossible(wanted: Spec, spec: Spec, ask: Ask) -> Refusal | None:
    """Why this cannot be done: no such model, no such fault, or a prompt that exceeds the window asked for."""
    if wanted.name not in BEHAVIOURS:
        return REFUSALS["fail-404"]
    if spec.name not in BEHAVIOURS:
        return malformed(f"the simulator has no fault '{spec.name}'")
    is_long = spec.options.window is not None and tokens(ask.input_bytes) > spec.options.window
    return REFUSALS["fail-context"] if is_long else None


# --- what it costs ----------------------------------------------------------------------------------------------------


def _spoken(ask: Ask, options: Options, behaviour: Behaviour) -> Answer:
    return compose(ask, options, is_thinking=behaviour.is_thinking, is_runaway=behaviour.is_runaway)


def _unspoken(ask: Ask, options: Options, behaviour: Behaviour) -> Answer:
    del behaviour
    count = tokens(ask.input_bytes) if options.tokens_input is None else options.tokens_input
    answer = Answer(parts=(), finish="stop", tokens_input=count, tokens_output=0)
    return replace(answer, usage=honest_usage(answer))


_ANSWERS = {"all": _spoken, "input": _unspoken, "nothing": _unspoken}


def _outcome(exchange: Exchange, ending: Ending) -> Outcome:
    if ending == "gone":
        return "cancelled_by_client"
    return "cut" if ending == "cut" else exchange.behaviour.outcome


def _bill(exchange: Exchange) -> None:
    """Put the bill of a request that is over into its entry."""
    call, entry = exchange.call, exchange.entry
    answer, ask = call.reply.answer, call.reply.ask
    match _billing(exchange):
        case "nothing":
            return
        case "sent":
            entry.tokens_output = tokens_after(answer, ask.choices, exchange.sent_bytes)
        case "all":
            entry.tokens_output = answer.tokens_output
            entry.is_usage_told = exchange.behaviour.is_truthful and call.dialect.is_usage_told(ask)
    entry.tokens_input = answer.tokens_input
    entry.tokens_cache_read = answer.tokens_cache_read
    entry.tokens_cache_write = answer.tokens_cache_write
    entry.tokens_reasoning = min(answer.tokens_reasoning, entry.tokens_output)


def _billing(exchange: Exchange) -> Bills:
    """All if it was completed; nothing if no content went out; a whole answer that nobody waited for was made."""
    behaviour, entry = exchange.behaviour, exchange.entry
    if exchange.call.dialect.bill == "nothing" or behaviour.bills == "nothing":
        return "nothing"
    if entry.outcome == "completed" or (behaviour.bills == "all" and not entry.stream):
        return "all"
    return "sent" if exchange.sent_bytes else "nothing"
