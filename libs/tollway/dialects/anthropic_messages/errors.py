"""Errors as Anthropic clients know them: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from typing import Final, Literal

import msgspec

from tollway.dialects.bodies import fits
from tollway.dialects.classify import Said
from tollway.dialects.reading import present

_BY_STATUS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TYPES: Final = frozenset({*_BY_STATUS.values(), "api_error"})


class _Error(msgspec.Struct):
    type: str
    message: str


class _Body(msgspec.Struct):
    type: Literal["error"]
    error: _Error


_bodies: Final = msgspec.json.Decoder(_Body)


def is_own_error(body: bytes) -> bool:
    """Whether a client reads this body as it is."""
    return fits(_bodies, body)


_CAUSES: Final = {("unsupported_parameter", "thread"): "thread_unsupported_request"}
"""Causes that Anthropic's own clients act on: without a thread at the provider they send the whole history."""


def write_error(status: int, said: Said, request_id: str) -> bytes:
    """An error body. The stable code is an extra field that clients ignore."""
    is_telling = said.kind in _TYPES and said.kind != "invalid_request_error"
    kind = said.kind if is_telling else _BY_STATUS.get(status, "api_error")
    cause = _CAUSES.get((said.code, said.param or ""))
    details = {"error_code": cause} if cause is not None else None
    error = present(type=kind, message=said.message, code=said.code or None, param=said.param, details=details)
    return msgspec.json.encode(present(type="error", error=error, request_id=request_id or None))


def write_error_event(status: int, said: Said, request_id: str) -> bytes:
    """The in-band error of a begun stream. No `message_stop` follows."""
    return b"event: error\ndata: %b\n\n" % write_error(status, said, request_id)
