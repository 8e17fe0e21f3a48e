"""Every name of telemetry: spans, attributes, log fields. Equal to `observability/schema/*.yaml`; a test compares.

A new name is added in both places, in one change. `gen_ai.*`, `http.*`, `server.*` and `error.type` are OpenTelemetry's
semantic conventions (GenAI conventions as of opentelemetry-semantic-conventions 0.66b2); what they lack is `tollway.*`.
Metrics are declared in `metrics`.
"""

from typing import Final, Literal, TypeAlias

import msgspec

SpanKind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]


class SpanName(msgspec.Struct, frozen=True):
    """One kind of span: who records it, and what it covers. `{…}` in a name stands for a varying part."""

    service: str
    kind: SpanKind
    covers: str


AUTH: Final = "auth"
AUTH_CHECK: Final = "auth.check"
PLAN: Final = "plan"
ROUTE_PLAN: Final = "route.plan"
HOLD: Final = "hold"
HOLD_OPEN: Final = "hold.open"
HOLD_EXTEND: Final = "hold.extend"
WORK: Final = "work"
SETTLE: Final = "settle"
VOID: Final = "void"
HTTP_CALL: Final = "POST"

SPANS: Final[dict[str, SpanName]] = {
    "{method} {route}": SpanName("ingress", "server", "the whole request, first byte in to last byte out"),
    AUTH: SpanName("ingress", "internal", "the verdict on the access key, remembered or asked"),
    AUTH_CHECK: SpanName("auth", "server", "auth's share of a verdict that was not remembered"),
    PLAN: SpanName("ingress", "internal", "the candidates, remembered or asked"),
    ROUTE_PLAN: SpanName("router", "server", "router's share of a plan that was not remembered"),
    HOLD: SpanName("ingress", "client", "waiting for the durable hold"),
    HOLD_OPEN: SpanName("ledger", "server", "from the command's arrival to the committed block"),
    HOLD_EXTEND: SpanName("ledger", "server", "the same for an extension of a long stream's hold"),
    WORK: SpanName("adapter", "server", "one dispatch: all attempts until the last piece"),
    "attempt {number} {provider}:{model}": SpanName("adapter", "client", "one attempt; its id is the usage row's id"),
    HTTP_CALL: SpanName("adapter", "client", "the HTTP call below an attempt"),
    SETTLE: SpanName("ledger", "consumer", "from the fact's arrival to the committed charge"),
    VOID: SpanName("ledger", "consumer", "a hold that ended without a charge"),
}


def span_request(method: str, route: str) -> str:
    """The root span's name; `route` is one of ours, never the path as sent."""
    return f"{method} {route}"


def span_attempt(number: int, provider: str, model: str) -> str:
    """An attempt's span name, e.g. `attempt 1 openai:gpt-4o`."""
    return f"attempt {number} {provider}:{model}"


OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL_SENT: Final = "gen_ai.request.model"
MODEL_ANSWERED: Final = "gen_ai.response.model"
TOKENS_OUTPUT_MAX: Final = "gen_ai.request.max_tokens"
IS_STREAM: Final = "gen_ai.request.stream"
STOP_REASONS: Final = "gen_ai.response.finish_reasons"
TTFT_S: Final = "gen_ai.response.time_to_first_chunk"
TOKENS_INPUT: Final = "gen_ai.usage.input_tokens"
TOKENS_OUTPUT: Final = "gen_ai.usage.output_tokens"
TOKENS_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
TOKENS_CACHE_WRITE: Final = "gen_ai.usage.cache_creation.input_tokens"
TOKENS_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
ERROR_TYPE: Final = "error.type"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
HTTP_REQUEST_BYTES: Final = "http.request.body.size"
HTTP_RESPONSE_BYTES: Final = "http.response.body.size"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
URL_PATH: Final = "url.path"
REQUEST_ID: Final = "tollway.request_id"
HOLD_ID: Final = "tollway.hold_id"
ATTEMPT_ID: Final = "tollway.attempt_id"
ATTEMPT_NUMBER: Final = "tollway.attempt_number"
ATTEMPTS: Final = "tollway.attempts"
ACCOUNT_ID: Final = "tollway.account_id"
ACCESS_KEY_ID: Final = "tollway.access_key_id"
CREDENTIAL_ID: Final = "tollway.credential_id"
KEY_SOURCE: Final = "tollway.key_source"
MODEL_ASKED: Final = "tollway.model_asked"
DIALECT: Final = "tollway.dialect"
PROVIDER_DIALECT: Final = "tollway.provider_dialect"
SURFACE: Final = "tollway.surface"
OUTCOME: Final = "tollway.outcome"
COMPLETION: Final = "tollway.completion"
RETRY_ACTION: Final = "tollway.retry_action"
REASON: Final = "tollway.reason"
REFUSAL: Final = "tollway.refusal"
CERTAINTY: Final = "tollway.certainty"
HOLD_NUSD: Final = "tollway.hold_nusd"
COST_NUSD: Final = "tollway.cost_nusd"
AVAILABLE_NUSD: Final = "tollway.available_nusd"
IS_REMEMBERED: Final = "tollway.is_remembered"
IS_SERVED: Final = "tollway.is_served"
IS_TIMED_OUT: Final = "tollway.is_timed_out"
IS_REPEAT: Final = "tollway.is_repeat"
CANDIDATES: Final = "tollway.candidates"
POOL: Final = "tollway.pool"
NODE: Final = "tollway.node"
JOURNAL: Final = "tollway.journal"
BLOCK_HEIGHT: Final = "tollway.block_height"
PRICE_VERSION: Final = "tollway.price_version"
PIECES: Final = "tollway.pieces"
IS_REUSED_CONNECTION: Final = "tollway.is_reused_connection"

EVENT_SKIPPED: Final = "candidate.skipped"

EVENTS: Final[dict[str, str]] = {
    EVENT_SKIPPED: "on the span work: a candidate that was not taken, or put last, and why",
}
"""Events within spans, with what they say."""

ATTRIBUTES: Final[dict[str, str]] = {
    OPERATION: "chat, text_completion, embeddings or generate_content",
    PROVIDER: "the provider's id",
    MODEL_SENT: "the model as sent to the provider",
    MODEL_ANSWERED: "the model that the provider says answered",
    TOKENS_OUTPUT_MAX: "the output limit sent to the provider",
    IS_STREAM: "whether the caller asked for a stream",
    STOP_REASONS: "why the provider stopped",
    TTFT_S: "seconds from the attempt's start to its first chunk",
    TOKENS_INPUT: "input tokens, cached ones included",
    TOKENS_OUTPUT: "output tokens, reasoning included",
    TOKENS_CACHE_READ: "input tokens read from the provider's cache",
    TOKENS_CACHE_WRITE: "input tokens written to the provider's cache",
    TOKENS_REASONING: "output tokens spent on reasoning",
    ERROR_TYPE: "class of the error, low cardinality; set for every failed span",
    HTTP_METHOD: "HTTP method",
    HTTP_ROUTE: "our route, never the path as sent",
    HTTP_STATUS: "status of the answer",
    HTTP_REQUEST_BYTES: "size of the request body",
    HTTP_RESPONSE_BYTES: "size of the answer's body",
    SERVER_ADDRESS: "host that was called",
    SERVER_PORT: "port that was called",
    URL_PATH: "path that was called at the provider, without its query",
    REQUEST_ID: "rq_…, the same in the ledger, the usage rows and the response header",
    HOLD_ID: "the hold in the ledger; equals the request id",
    ATTEMPT_ID: "the attempt in the usage rows; equals the span's id",
    ATTEMPT_NUMBER: "from 1",
    ATTEMPTS: "how many attempts the request took",
    ACCOUNT_ID: "who pays",
    ACCESS_KEY_ID: "who asks; the id, never the key",
    CREDENTIAL_ID: "provider key that opened the provider, or managed:<provider>",
    KEY_SOURCE: "managed or user",
    MODEL_ASKED: "the model as the caller named it",
    DIALECT: "wire format of the caller",
    PROVIDER_DIALECT: "wire format of the provider",
    SURFACE: "chat, responses, completions, embeddings, messages or count_tokens",
    OUTCOME: "how the request ended, as in the usage fact",
    COMPLETION: "how the attempt ended, as in the usage row",
    RETRY_ACTION: "what happened after the attempt, as in the usage row",
    REASON: "why it moved on, ended or was voided, in one phrase",
    REFUSAL: "code of the refusal that the caller was told",
    CERTAINTY: "reported, counted or estimated",
    HOLD_NUSD: "credit set aside, nano-dollars",
    COST_NUSD: "charge, nano-dollars",
    AVAILABLE_NUSD: "credit left for other holds, nano-dollars",
    IS_REMEMBERED: "whether the answer came from memory instead of the bus",
    IS_SERVED: "whether this attempt is the one the caller got",
    IS_TIMED_OUT: "whether a limit of ours ended it",
    IS_REPEAT: "whether the command had been decided before",
    CANDIDATES: "how many candidates the plan has",
    POOL: "pool of adapters",
    NODE: "process that did it",
    JOURNAL: "journal of the account, 0 to 63",
    BLOCK_HEIGHT: "block that holds the decision",
    PRICE_VERSION: "version of the price list",
    PIECES: "pieces of the answer",
    IS_REUSED_CONNECTION: "whether the HTTP call found an open connection",
}

LOG_FIELDS: Final[dict[str, str]] = {
    # set by the logger
    "time": "RFC 3339, UTC, milliseconds",
    "level": "debug, info, warning or error",
    "event": "what happened, a fixed word in snake case",
    "service": "ingress, auth, router, adapter, ledger, …",
    "node": "the process",
    # the request
    "request_id": "rq_…",
    "trace_id": "32 hex digits",
    "hold_id": "the hold in the ledger",
    "attempt_id": "the attempt, which is its span's id",
    "account_id": "who pays",
    "access_key_id": "who asks; never the key",
    "api_key_id": "who manages; never the key",
    "credential_id": "provider key or managed:<provider>; never the value",
    "method": "HTTP method",
    "route": "our route, never the path as sent",
    "status": "HTTP status",
    "code": "code of the refusal",
    "surface": "chat, responses, …",
    "dialect": "wire format of the caller",
    "model_asked": "as the caller named it",
    "model": "provider:model that served",
    "model_sent": "as sent to the provider",
    "model_answered": "as the provider says",
    "provider": "the provider's id",
    "attempts": "how many it took",
    "attempt": "number of the attempt, from 1",
    "retry_action": "as in the usage row",
    "completion": "as in the usage row",
    "is_stream": "whether a stream was asked for",
    "is_failed_over": "whether more than one candidate was tried",
    "outcome": "how it ended",
    "stop_reason": "why the provider stopped",
    "tokens_input": "input tokens",
    "tokens_output": "output tokens",
    "cost_nusd": "charge, nano-dollars",
    "hold_nusd": "credit set aside, nano-dollars",
    "amount_nusd": "an amount, nano-dollars",
    "bytes_in": "size of the request body",
    "bytes_out": "size of the answer",
    "duration_ms": "how long it took",
    "ttft_ms": "to the first token",
    "auth_ms": "share of the verdict on the key",
    "plan_ms": "share of the plan",
    "hold_ms": "share of the hold",
    "retry_after_s": "what was told to wait",
    "client": "address of the caller",
    # the system
    "error": "class of an exception, or a fixed phrase",
    "error_type": "class of an error",
    "at": "where an error was raised: file, line, function",
    "reason": "why, in a phrase",
    "cause": "what led to it",
    "hint": "what the operator can do",
    "not_ready": "what is missing",
    "subject": "of the bus",
    "stream": "of the bus",
    "durable": "consumer of the bus",
    "sequence": "position in a stream",
    "message_id": "of an envelope",
    "message_type": "of an envelope",
    "journal": "0 to 63",
    "height": "block",
    "outbox": "id of an adapter's outbox",
    "pool": "of adapters",
    "peer": "the other process",
    "role": "of the other process",
    "name": "of a task, table or thing",
    "kind": "of a change or thing",
    "id": "of a resource",
    "version": "of a thing",
    "count": "how many",
    "size_bytes": "how large",
    "lag": "how far behind",
    "age_s": "how old",
    "wait_s": "how long until the next try",
    "limit": "what it ran into",
    "address": "host and port, without user, password or query",
    "host": "an address's host",
    "port": "an address's port",
    "url": "an address, scrubbed",
    "path": "a file",
    "variable": "name of an environment variable; never its value",
    "pid": "a process",
    "exit_code": "of a process",
    "signal": "that a process got",
    "logger": "library that said it",
    "message": "what a library said, scrubbed",
}
