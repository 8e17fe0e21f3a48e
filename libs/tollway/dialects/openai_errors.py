"""Errors as OpenAI clients know them, on every surface: `{"error": {"message", "type", "code", "param"}}`."""

from typing import Final

import msgspec

from tollway.dialects.bodies import fits
from tollway.dialects.classify import Said

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


_WORDS: Final = frozenset(
    {*_TYPES.values(), "api_error", "server_error", "requests", "tokens", "billing_error", "not_found_error"}
)
"""Type words that clients of OpenAI may know; another dialect's are said by the status."""


class _Error(msgspec.Struct):
    message: str
    type: str | None


class _Body(msgspec.Struct):
    error: _Error
    type: None = None


_bodies: Final = msgspec.json.Decoder(_Body)


def is_own_error(body: bytes) -> bool:
    """Whether a client reads this body as it is."""
    return fits(_bodies, body)


def write_error(status: int, said: Said, request_id: str) -> bytes:
    """An error body."""
    error: dict[str, str | None] = {
        "message": said.message,
        "type": said.kind if said.kind in _WORDS else _TYPES.get(status, "api_error"),
        "param": said.param,
        "code": said.code or None,
    }
    if request_id:
        error["request_id"] = request_id
    return msgspec.json.encode({"error": error})


def write_error_event(status: int, said: Said, request_id: str) -> bytes:
    """The in-band error of a begun stream. No `[DONE]` follows."""
    return b"data: %b\n\n" % write_error(status, said, request_id)
