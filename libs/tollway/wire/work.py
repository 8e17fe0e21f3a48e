"""One request's work for an adapter, and the numbered pieces of the answer on their way back."""

import msgspec

from tollway.wire.plan import Candidate, DialectName, Skipped, Surface
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Outcome

BODY_INLINE_BYTES_MAX = 256 * 1024
BODY_PART_BYTES = 256 * 1024
WINDOW_BYTES = 64 * 1024
"""How far an adapter may run ahead of what the client has taken."""


class Limits(msgspec.Struct, frozen=True):
    """Timeouts of one request; all of them are also cut by `Work.deadline_ms`."""

    attempt_s: float
    first_token_s: float
    chunk_gap_s: float
    connect_s: float


class Work(msgspec.Struct, frozen=True, omit_defaults=True):
    """Try the candidates in order and answer to `inbox`. Nothing is dispatched before its hold is durable.

    `body` is the caller's body, byte for byte; larger ones are pulled from `body.<node>` by `body_token`.
    `tokens_output_cap`: what the hold covers; sent upstream as the explicit output limit.
    `tokens_output_wanted`: the caller's own limit or the model's, up to which the hold may be extended.
    `tokens_input_bound`: upper bound used for the hold. `hold_amount_nusd`: what is set aside now.
    `deadline_ms`: first content of a stream, or the whole of a JSON answer, must be there by then.
    `headers`: the caller's headers that may be passed on (lower case).
    `strategy`, `skipped`: how the router decided; they go into the fact as they are.
    """

    request_id: str
    dispatch_id: str
    account_id: str
    access_key_id: str
    node: str
    inbox: str
    dialect: DialectName
    surface: Surface
    is_stream: bool
    candidates: tuple[Candidate, ...]
    limits: Limits
    deadline_ms: int
    price_version: str
    tokens_input_bound: int
    tokens_output_cap: int
    tokens_output_wanted: int
    hold_amount_nusd: int
    body: bytes = b""
    body_token: str = ""
    body_bytes: int = 0
    headers: dict[str, str] = {}
    retry_same_candidate: str = "retry-after"
    is_rescue_allowed: bool = False
    attempt_number_first: int = 1
    strategy: str = "ordered"
    skipped: tuple[Skipped, ...] = ()


class FetchBody(msgspec.Struct, frozen=True):
    """Pull one part of a large body."""

    token: str
    offset: int


class BodyPart(msgspec.Struct, frozen=True):
    """At most BODY_PART_BYTES from `offset`; empty: gone."""

    data: bytes


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """Status and headers, sent with the first piece. `model` is `provider:model` that serves; "" if none did."""

    status: int
    content_type: str
    attempts: int
    model: str = ""
    headers: dict[str, str] = {}


class End(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last word of a request. The fact is durable in the adapter's outbox before this is sent.

    `refusal`: ingress says it in the caller's dialect, as the answer or as the in-band error of a begun stream.
    `is_shed`: there is no fact, so ingress gives the hold back: the adapter had no room and took nothing up, or its
    disk did not take the fact.
    `cost_nusd` None: unknown. `is_failed_over` keeps the trace.
    """

    outcome: Outcome
    attempts: int
    model: str = ""
    cost_nusd: int | None = None
    refusal: Refusal | None = None
    stop: str = ""
    is_failed_over: bool = False
    tokens_input: int | None = None
    tokens_output: int | None = None
    dropped: tuple[str, ...] = ()
    is_shed: bool = False


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """A numbered part of the answer, in the caller's dialect. A short answer is one piece with head, data and end.

    `n` counts from 0 without gaps; a gap means the bus lost something and the stream must end visibly.
    `node`: the adapter that works on it (first piece and liveness notes). Empty data with neither head nor end is
    only a sign of life: it carries the number of the piece that comes next.
    """

    n: int
    node: str = ""
    data: bytes = b""
    head: Head | None = None
    end: End | None = None


class Credit(msgspec.Struct, frozen=True):
    """The client has taken this many bytes in all; the adapter may be WINDOW_BYTES ahead of it."""

    dispatch_id: str
    bytes_taken: int


class Cancel(msgspec.Struct, frozen=True):
    """Stop the provider call at once. `outcome` says why: `client_aborted`, `gateway_failed` or `deadline`.

    `is_superseded`: another adapter has the work now, so this one must write no fact for it.
    """

    dispatch_id: str
    outcome: Outcome
    is_superseded: bool = False


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every process is heard once a second. Adapters add what they offer.

    `managed`: providers for which this adapter holds an operator's credential.
    """

    role: str
    node: str
    at_ms: int
    is_ready: bool = True
    not_ready: tuple[str, ...] = ()
    pool: str = ""
    managed: tuple[str, ...] = ()
    in_flight: int = 0


class AskOffer(msgspec.Struct, frozen=True):
    """Ask an adapter for its beat now."""


class KeepTrace(msgspec.Struct, frozen=True):
    """This trace failed or failed over: every service exports the spans it still remembers of it."""

    trace_id: str
