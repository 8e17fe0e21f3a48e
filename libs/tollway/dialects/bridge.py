"""The face of this package: read an intake, make a bridge for one attempt, say no in the caller's dialect."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollway.dialects import (
    anthropic_messages,
    bodies,
    classify,
    gemini,
    hosted,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
    services,
)
from tollway.dialects.attempt import Bridge, Setting, StreamBridge
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Dialect, Passing
from tollway.dialects.embedding import EmbeddingBridge, EmbeddingClient, EmbeddingProvider
from tollway.dialects.exchange import CONTENT_TYPE_JSON, CONTENT_TYPE_SSE, Intake, Outgoing, Served, Step
from tollway.dialects.faults import STATUS_WITHOUT_ANSWER, Fault
from tollway.dialects.gemini import embeddings as gemini_embeddings
from tollway.dialects.hub import HubBridge
from tollway.dialects.passing import PassingBridge
from tollway.dialects.rows import ProviderRow
from tollway.wire.plan import DialectName, Surface
from tollway.wire.refusals import Refusal, refuse

__all__ = [
    "CONTENT_TYPE_JSON",
    "CONTENT_TYPE_SSE",
    "DIALECTS",
    "Bridge",
    "Fault",
    "Intake",
    "Outgoing",
    "Served",
    "Step",
    "StreamBridge",
    "bridge",
    "error_event",
    "error_event_of",
    "read_intake",
    "receipt_comment",
    "write_refusal",
]

CHAT_DIALECTS: Final[Mapping[DialectName, Dialect]] = {
    "openai_chat": openai_chat.DIALECT,
    "openai_responses": openai_responses.DIALECT,
    "anthropic_messages": anthropic_messages.DIALECT,
    "gemini": gemini.DIALECT,
}
"""Those that meet in the canonical conversation."""

DIALECTS: Final[Mapping[DialectName, Passing]] = {
    **CHAT_DIALECTS,
    "openai_completions": openai_completions.DIALECT,
    "openai_embeddings": openai_embeddings.DIALECT,
}

EMBEDDING_CLIENTS: Final[Mapping[DialectName, EmbeddingClient]] = {
    "openai_embeddings": EmbeddingClient(
        read_request=openai_embeddings.read_request, write_answer=openai_embeddings.write_answer
    ),
}
EMBEDDING_PROVIDERS: Final[Mapping[DialectName, EmbeddingProvider]] = {"gemini": gemini_embeddings.PROVIDER}

SURFACES: Final[Mapping[DialectName, Surface]] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "openai_completions": "completions",
    "openai_embeddings": "embeddings",
    "anthropic_messages": "messages",
    "gemini": "chat",
}
"""The surface of a client's dialect where the caller of this module does not name one."""


def read_intake(dialect: DialectName, body: bytes, *, surface: Surface | None = None) -> Intake | Refusal:
    """What the gateway must know of a request, or `invalid_request_body` with the path in `param`."""
    fields = bodies.read_fields(body)
    if isinstance(fields, Refusal):
        return fields
    surface = surface or SURFACES[dialect]
    intake = DIALECTS[dialect].intake(body, fields, surface)
    if isinstance(intake, Refusal):
        return intake
    service, tools = services.asked(fields), hosted.asked(dialect, surface, fields)
    if not service and tools is hosted.NOTHING:
        return intake
    return msgspec.structs.replace(intake, service=service, searches=tools.searches, billed_tools=tools.billed)


def bridge(
    client: DialectName,
    provider: DialectName,
    row: ProviderRow,
    *,
    surface: Surface | None = None,
    request_id: str = "",
    now_ms: int = 0,
    is_reasoning: bool = True,
) -> Bridge | Refusal:
    """A bridge for one attempt; refused where no way leads from the client's dialect to the provider's.

    `is_reasoning` False: a wish for reasoning that came from another dialect is dropped by name, not sent.
    """
    asked = surface or SURFACES[client]
    setting = Setting(DIALECTS[client], DIALECTS[provider], row, asked, request_id, now_ms, is_reasoning)
    if client == provider:
        return PassingBridge(setting)
    if client in CHAT_DIALECTS and provider in CHAT_DIALECTS and asked != "count_tokens":
        return HubBridge(setting, CHAT_DIALECTS[client], CHAT_DIALECTS[provider])
    if client in EMBEDDING_CLIENTS and provider in EMBEDDING_PROVIDERS:
        return EmbeddingBridge(setting, EMBEDDING_CLIENTS[client], EMBEDDING_PROVIDERS[provider])
    return refuse("unsupported_parameter", f"A request of {client} ({asked}) has no way to a provider of {provider}.")


def _said(dialect: DialectName, refusal: Refusal) -> Said:
    rule = refusal.rule
    kind = rule.anthropic if dialect == "anthropic_messages" else rule.kind
    return Said(refusal.message, kind, refusal.code, refusal.param)


def write_refusal(dialect: DialectName, refusal: Refusal, request_id: str) -> bytes:
    """An error body in the caller's dialect."""
    return DIALECTS[dialect].write_error(refusal.rule.status, _said(dialect, refusal), request_id)


_STATUS_BY_CLASS: Final[dict[str, int]] = {**STATUS_WITHOUT_ANSWER}


def error_event(dialect: DialectName, refusal: Refusal, request_id: str) -> bytes:
    """The in-band error of a begun stream; no success terminator. A class in `details` gives it the dialect's word."""
    status = _STATUS_BY_CLASS.get(refusal.details.get("class", ""))
    if status is None:
        return DIALECTS[dialect].write_error_event(refusal.rule.status, _said(dialect, refusal), request_id)
    said = Said(refusal.message, "", refusal.code, refusal.param)
    return DIALECTS[dialect].write_error_event(status, said, request_id)


def error_event_of(dialect: DialectName, status: int, body: bytes, request_id: str) -> bytes:
    """The same for an error answer of this dialect that came too late to be the answer."""
    said = classify.read_error(body) or Said(f"The provider answered with status {status}, not with a stream.")
    return DIALECTS[dialect].write_error_event(status, said, request_id)


def receipt_comment(fields: Mapping[str, str]) -> bytes:
    """A comment line that clients ignore and people read: `: tollway-cost=0.000012 …`."""
    return b": %b\n\n" % " ".join(f"{name}={value}" for name, value in fields.items()).encode()
